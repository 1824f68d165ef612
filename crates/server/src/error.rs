//! What goes wrong in the server, as errors and as answers.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use cdc_core::{Error, Origin, Retry, dead_letter::DeadLetter, status::Problem};
use serde_json::json;
use std::{io, net::SocketAddr};

pub(crate) fn cannot_listen(at: SocketAddr, error: io::Error) -> Error {
    let port = at.port();
    let (context, remedy) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            format!("the port {port} for health and metrics is in use on {}", at.ip()),
            format!(
                "find who has it (ss -ltnp 'sport = :{port}'), or set rest.health_port to another \
                 port, or rest.health_enabled: false, in the platform file"
            ),
        ),
        io::ErrorKind::PermissionDenied => (
            format!("this user may not listen on port {port}"),
            "set rest.health_port to a port above 1023 in the platform file".to_owned(),
        ),
        _ => (
            format!("cannot listen on {at}"),
            "set rest.health_address to an address of this machine in the platform file".to_owned(),
        ),
    };
    Error::new("CDC-5001", Origin::Config, Retry::AfterOperator, context)
        .with_remedy(remedy)
        .with_source(error)
}

pub(crate) fn broken(error: io::Error) -> Error {
    Error::new("CDC-5002", Origin::Internal, Retry::Backoff, "the HTTP server has stopped")
        .with_remedy("start the pipeline again")
        .with_source(error)
}

/// A request that cannot be answered as asked.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: Error,
}

pub(crate) fn no_such_pipeline(id: &str, own: &str) -> Refusal {
    let context = format!("no pipeline {id:?} runs here");
    let error = Error::new("CDC-5003", Origin::Config, Retry::Never, context)
        .with_remedy(format!("ask for {own:?}, the pipeline of this process"));
    Refusal { status: StatusCode::NOT_FOUND, error }
}

pub(crate) fn no_such_schema(schema: u32) -> Refusal {
    let context = format!("there is no table schema {schema}");
    let error = Error::new("CDC-5006", Origin::Config, Retry::Never, context)
        .with_remedy("ask for a number that a record of this pipeline's log names");
    Refusal { status: StatusCode::NOT_FOUND, error }
}

pub(crate) fn no_such_letter(letter: u64) -> Error {
    let context = format!("there is no dead letter {letter}");
    Error::new("CDC-5004", Origin::Config, Retry::Never, context)
        .with_remedy("list them: cdc dead-letters list PIPELINE")
}

pub(crate) fn nothing_selected() -> Error {
    let context = "the request names no dead letters";
    Error::new("CDC-5005", Origin::Config, Retry::Never, context)
        .with_remedy("name them by number, or say that all are meant")
}

/// A change that has no form in the log's format is no sink's to get.
pub(crate) fn letter_of_capture(letter: &DeadLetter) -> Error {
    let (id, table) = (letter.id, &letter.info.table);
    let context = format!(
        "dead letter {id} cannot be delivered again: the change of {table} has no form in the log's \
         format, so it never reached the log"
    );
    Error::new("CDC-5007", Origin::Config, Retry::AfterOperator, context).with_remedy(format!(
        "correct the row or the `format:`, read the rows anew: cdc snapshot PIPELINE --table {table}, \
         then cdc dead-letters discard PIPELINE {id}"
    ))
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error.code {
            "CDC-5004" => StatusCode::NOT_FOUND,
            "CDC-5005" => StatusCode::BAD_REQUEST,
            // What an operator has to change first, be it here or in the database.
            _ if error.retry == Retry::AfterOperator => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, error }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem::from(&self.error);
        (self.status, Json(json!({ "error": problem }))).into_response()
    }
}
