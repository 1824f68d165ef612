//! Which schema is meant: a file, a subject, or a version of a subject.

use crate::{
    failure::{Failure, Outcome},
    remote::local,
    settings::PlatformArgs,
};
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
    /// The registry: http://HOST:PORT or https://…, several separated by commas; without it the one of
    /// the platform file, or http://127.0.0.1:8081
    #[arg(long, value_name = "URL", env = "CDC_REGISTRY_URL", hide_env_values = true)]
    registry_url: Option<String>,
    /// The platform file, whose registry is meant
    #[arg(long, value_name = "FILE", env = "CDC_PLATFORM_CONFIG")]
    platform_config: Option<PathBuf>,
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
        let named = match &self.registry_url {
            Some(url) => Config::at(url),
            None => self.configured()?,
        };
        let secret = |text: &Option<String>| text.clone().map(Secret::new);
        // Who names a user or a token here means that and not the one of the file.
        let credentials = self.registry_user.is_some() || self.registry_token.is_some();
        let (username, password, token) = match credentials {
            true => (
                self.registry_user.clone(),
                secret(&self.registry_password),
                secret(&self.registry_token),
            ),
            false => (named.username, named.password, named.token),
        };
        let tls = Tls {
            ca_file: self.registry_ca_file.clone().or(named.tls.ca_file),
            certificate_file: self.registry_certificate_file.clone().or(named.tls.certificate_file),
            key_file: self.registry_key_file.clone().or(named.tls.key_file),
        };
        let config = Config {
            url: named.url,
            timeout_seconds: named.timeout_seconds,
            username,
            password,
            token,
            tls,
        };
        Ok(Client::new(&config)?)
    }

    /// The registry of the platform file: the one beside Kafka, or the one that an embedded pipeline
    /// serves.
    fn configured(&self) -> Outcome<Config> {
        let platform_config = self.platform_config.clone();
        let platform = PlatformArgs { platform_config, data_dir: None }.load()?;
        if let Some(kafka) = platform.kafka() {
            return Ok(kafka.beside.registry());
        }
        let registry = &platform.file.registry;
        if !registry.enabled || registry.port == Some(0) {
            let context = "the platform file does not say where the registry is";
            let remedy = "name it: --registry-url http://HOST:PORT; the log of a running pipeline tells \
                          where its registry is served";
            return Err(Failure::usage("CDC-0141", context, remedy));
        }
        Ok(Config::at(format!("http://{}", local(registry.listens_at()))))
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
