//! Startup and authentication of a session.

use super::wire::Wire;
use crate::{
    config::Config,
    error::{self, ServerError, from_server},
};
use bytes::BytesMut;
use cdc_core::Result;
use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256},
    },
    message::{
        backend::{AuthenticationSaslBody, Message},
        frontend,
    },
};
use std::{collections::BTreeMap, io};

/// What a server says about a session once it is ready.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    /// The server process behind it.
    pub(super) backend: i32,
    /// Settings that the server reports.
    pub(super) parameters: BTreeMap<String, String>,
}

/// Authenticates and waits until the session takes queries.
pub(super) async fn start(
    config: &Config,
    wire: &mut Wire,
    parameters: &[(String, String)],
) -> Result<Session> {
    let mut message = BytesMut::new();
    let parameters = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    frontend::startup_message(parameters, &mut message)
        .map_err(|cause| error::connection_lost(config, cause))?;
    send(config, wire, &message).await?;
    authenticate(config, wire).await?;
    let mut session = Session::default();
    loop {
        match receive(config, wire).await? {
            Message::BackendKeyData(body) => session.backend = body.process_id(),
            Message::ParameterStatus(body) => {
                let (Ok(name), Ok(value)) = (body.name(), body.value()) else { continue };
                session.parameters.insert(name.to_owned(), value.to_owned());
            }
            Message::ReadyForQuery(_) => return Ok(session),
            _ => {}
        }
    }
}

async fn authenticate(config: &Config, wire: &mut Wire) -> Result<()> {
    let password = config.password.expose();
    let method = match receive(config, wire).await? {
        Message::AuthenticationOk => return Ok(()),
        Message::AuthenticationCleartextPassword => {
            send_password(config, wire, password.as_bytes()).await?;
            return expect_ok(config, wire).await;
        }
        Message::AuthenticationMd5Password(body) => {
            let hash = md5_hash(config.username.as_bytes(), password.as_bytes(), body.salt());
            send_password(config, wire, hash.as_bytes()).await?;
            return expect_ok(config, wire).await;
        }
        Message::AuthenticationSasl(body) => return scram(config, wire, &body).await,
        Message::AuthenticationGss | Message::AuthenticationKerberosV5 => "Kerberos",
        Message::AuthenticationSspi => "SSPI",
        _ => "unknown",
    };
    Err(error::unsupported_authentication(config, method))
}

async fn scram(config: &Config, wire: &mut Wire, body: &AuthenticationSaslBody) -> Result<()> {
    let broken = |cause| error::connection_lost(config, cause);
    let offered: Vec<String> =
        body.mechanisms().map(|name| Ok(name.to_owned())).collect().map_err(broken)?;
    let offers = |name: &str| offered.iter().any(|offer| offer == name);
    let (binding, mechanism) = match wire.socket().end_point_binding() {
        Some(hash) if offers(SCRAM_SHA_256_PLUS) => {
            (ChannelBinding::tls_server_end_point(hash), SCRAM_SHA_256_PLUS)
        }
        // Tells the server that we could have bound the channel, so that a stripped offer shows.
        Some(_) if offers(SCRAM_SHA_256) => (ChannelBinding::unrequested(), SCRAM_SHA_256),
        None if offers(SCRAM_SHA_256) => (ChannelBinding::unsupported(), SCRAM_SHA_256),
        _ => return Err(error::unsupported_authentication(config, &offered.join(", "))),
    };
    let mut scram = ScramSha256::new(config.password.expose().as_bytes(), binding);
    let mut message = BytesMut::new();
    frontend::sasl_initial_response(mechanism, scram.message(), &mut message).map_err(broken)?;
    send(config, wire, &message).await?;

    let Message::AuthenticationSaslContinue(body) = receive(config, wire).await? else {
        return Err(broken(unexpected()));
    };
    scram.update(body.data()).map_err(|cause| error::binding_failed(config, cause))?;
    message.clear();
    frontend::sasl_response(scram.message(), &mut message).map_err(broken)?;
    send(config, wire, &message).await?;

    let Message::AuthenticationSaslFinal(body) = receive(config, wire).await? else {
        return Err(broken(unexpected()));
    };
    scram.finish(body.data()).map_err(|cause| error::binding_failed(config, cause))?;
    expect_ok(config, wire).await
}

async fn expect_ok(config: &Config, wire: &mut Wire) -> Result<()> {
    match receive(config, wire).await? {
        Message::AuthenticationOk => Ok(()),
        _ => Err(error::connection_lost(config, unexpected())),
    }
}

async fn send_password(config: &Config, wire: &mut Wire, password: &[u8]) -> Result<()> {
    let mut message = BytesMut::new();
    frontend::password_message(password, &mut message)
        .map_err(|cause| error::connection_lost(config, cause))?;
    send(config, wire, &message).await
}

async fn send(config: &Config, wire: &mut Wire, message: &[u8]) -> Result<()> {
    wire.send(message).await.map_err(|cause| error::tls_failed(config, cause))
}

/// The next message that is no notice; an error response is an error.
async fn receive(config: &Config, wire: &mut Wire) -> Result<Message> {
    loop {
        // A server that refuses a client certificate says so in the first read after the handshake.
        match wire.message().await.map_err(|cause| error::tls_failed(config, cause))? {
            Message::NoticeResponse(_) => {}
            Message::ErrorResponse(body) => {
                let reported = ServerError::parse(body.fields())
                    .map_err(|cause| error::connection_lost(config, cause))?;
                return Err(from_server(config, "start a session", reported));
            }
            message => return Ok(message),
        }
    }
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "unexpected message during authentication")
}
