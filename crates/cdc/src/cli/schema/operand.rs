//! Which schema is meant: a file, a subject, or a version of a subject.

use crate::failure::{Failure, Outcome};
use cdc_core::Secret;
use cdc_registry::{
    Level, Referenced, Schema, SchemaType,
    client::{Client, Config, Tls},
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where schemas come from.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Source {
    /// The registry: http://HOST:PORT or https://…, several separated by commas
    #[arg(
        long,
        value_name = "URL",
        env = "CDC_REGISTRY_URL",
        default_value = "http://localhost:8081",
        hide_env_values = true
    )]
    registry_url: String,
    /// User of the registry; its password is read from CDC_REGISTRY_PASSWORD
    #[arg(long, value_name = "USER", env = "CDC_REGISTRY_USER")]
    registry_user: Option<String>,
    /// Password of the registry's user
    #[arg(long, value_name = "TEXT", env = "CDC_REGISTRY_PASSWORD", hide = true)]
    registry_password: Option<String>,
    /// Token of the registry
    #[arg(long, value_name = "TEXT", env = "CDC_REGISTRY_TOKEN", hide = true)]
    registry_token: Option<String>,
    /// PEM file with the authorities to trust, for https
    #[arg(long, value_name = "FILE")]
    registry_ca_file: Option<PathBuf>,
    /// PEM file with this client's certificate, for https
    #[arg(long, value_name = "FILE", requires = "registry_key_file")]
    registry_certificate_file: Option<PathBuf>,
    /// PEM file with the key of the certificate
    #[arg(long, value_name = "FILE", requires = "registry_certificate_file")]
    registry_key_file: Option<PathBuf>,
    /// Language of files whose names do not tell it: avro, json or protobuf
    #[arg(long = "type", value_name = "TYPE")]
    schema_type: Option<SchemaType>,
    /// What a file uses from another one; each after those that it uses itself
    #[arg(long, value_name = "NAME=FILE")]
    reference: Vec<String>,
}

/// A schema that was found.
pub(super) struct Loaded {
    /// What was asked for.
    pub(super) name: String,
    /// The schema.
    pub(super) schema: Schema,
}

/// Several versions of a subject, or one schema.
pub(super) struct History {
    /// The oldest first.
    pub(super) versions: Vec<Loaded>,
    /// The subject's own level.
    pub(super) level: Option<Level>,
}

impl Source {
    /// A client of the registry.
    pub(super) fn client(&self) -> Outcome<Client> {
        let config = Config {
            username: self.registry_user.clone(),
            password: self.registry_password.clone().map(Secret::new),
            token: self.registry_token.clone().map(Secret::new),
            tls: Tls {
                ca_file: self.registry_ca_file.clone(),
                certificate_file: self.registry_certificate_file.clone(),
                key_file: self.registry_key_file.clone(),
            },
            ..Config::at(&self.registry_url)
        };
        Ok(Client::new(&config)?)
    }

    /// One schema.
    pub(super) async fn load(&self, operand: &str) -> Outcome<Loaded> {
        if is_file(operand) {
            return self.file(operand);
        }
        let (subject, version) = operand.rsplit_once('@').unwrap_or((operand, "latest"));
        self.version(&self.client()?, subject, version).await
    }

    /// Everything that a schema has to go with: all versions of a subject, or what is named.
    pub(super) async fn history(&self, operand: &str) -> Outcome<History> {
        if is_file(operand) || operand.contains('@') {
            let versions = vec![self.load(operand).await?];
            return Ok(History { versions, level: None });
        }
        let client = self.client()?;
        let mut versions = Vec::new();
        for version in client.versions(operand).await? {
            versions.push(self.version(&client, operand, &version.to_string()).await?);
        }
        let level = Some(client.level(Some(operand)).await?);
        Ok(History { versions, level })
    }

    async fn version(&self, client: &Client, subject: &str, version: &str) -> Outcome<Loaded> {
        let found = client.version(subject, version).await?;
        let schema = client.parse(&found.named).await?;
        Ok(Loaded { name: format!("{subject}@{}", found.version), schema })
    }

    fn file(&self, name: &str) -> Outcome<Loaded> {
        let text = read(name)?;
        let mut referenced = Vec::new();
        for reference in &self.reference {
            let Some((name, file)) = reference.split_once('=') else {
                let context = format!("{reference:?} is no reference");
                let remedy = "write the name and the file: --reference shop.Address=address.avsc";
                return Err(Failure::usage("CDC-0141", context, remedy));
            };
            referenced.push(Referenced { name: name.to_owned(), text: read(file)? });
        }
        let schema_type = self.schema_type.unwrap_or_else(|| language(name, &text));
        let schema = Schema::parse(schema_type, &text, &referenced);
        let schema = schema.map_err(|error| {
            let mut error = cdc_core::Error::from(error);
            error.context = format!("{name}: {}", error.context);
            Failure::from(error)
        })?;
        Ok(Loaded { name: name.to_owned(), schema })
    }
}

fn read(name: &str) -> Outcome<String> {
    fs::read_to_string(name).map_err(|error| {
        let context = format!("the schema file {name} cannot be read");
        let remedy = "name a file that is there, or a subject of the registry without / and ending";
        Failure::file("CDC-0140", context, remedy, error)
    })
}

fn is_file(operand: &str) -> bool {
    let path = Path::new(operand);
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    operand.contains('/') || ["avsc", "json", "proto"].contains(&ending) || path.is_file()
}

/// The language of a file, by its name and, where that says only JSON, by what is in it.
fn language(name: &str, text: &str) -> SchemaType {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending {
        "avsc" => SchemaType::Avro,
        "proto" => SchemaType::Protobuf,
        _ => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(object)) => {
                let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
                let avro = ["record", "enum", "fixed", "error"].contains(&kind);
                if avro { SchemaType::Avro } else { SchemaType::Json }
            }
            Ok(Value::Bool(_)) => SchemaType::Json,
            Ok(_) => SchemaType::Avro,
            Err(_) => SchemaType::Protobuf,
        },
    }
}
