//! What a registry can be asked.

use super::{
    cache::Cache,
    config::Config,
    connection::{Connection, Request},
    error,
};
use crate::{
    compatibility::Level,
    schema::{Reference, Referenced, Schema, SchemaType},
};
use cdc_core::Result;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// So many schemas are remembered by number, and so many numbers by schema.
const CACHED_MAX: usize = 10_000;

/// Schemas may use schemas that use schemas, so many and no more.
const REFERENCES_MAX: usize = 1_000;

/// A schema as a registry knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// Its language; registries leave out Avro's name.
    #[serde(default)]
    pub schema_type: SchemaType,
    /// The text.
    pub schema: String,
    /// What it uses from other subjects.
    #[serde(default)]
    pub references: Vec<Reference>,
}

impl Named {
    /// A schema that uses no others.
    pub fn new(schema_type: SchemaType, schema: impl Into<String>) -> Self {
        Self { schema_type, schema: schema.into(), references: Vec::new() }
    }

    fn body(&self) -> Value {
        let mut body = json!({ "schema": self.schema });
        if let Value::Object(body) = &mut body {
            if self.schema_type != SchemaType::Avro {
                body.insert("schemaType".to_owned(), self.schema_type.name().into());
            }
            if !self.references.is_empty() {
                body.insert("references".to_owned(), json!(self.references));
            }
        }
        body
    }
}

/// A version of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Found {
    /// The subject.
    pub subject: String,
    /// The version.
    pub version: i32,
    /// The schema's number.
    pub id: i32,
    /// The schema.
    #[serde(flatten)]
    pub named: Named,
}

/// Whether a schema could be registered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Verdict {
    /// It could.
    pub is_compatible: bool,
    /// Why not, in the registry's words.
    #[serde(default)]
    pub messages: Vec<String>,
}

/// A client of one registry. Clones share connections and memory.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    by_id: Cache<i32, Arc<Named>>,
    ids: Cache<(String, Named, bool), i32>,
}

impl Client {
    /// A client; nothing is connected to yet.
    pub fn new(config: &Config) -> Result<Self> {
        let connection = Connection::new(config)?;
        let (by_id, ids) = (Cache::new(CACHED_MAX), Cache::new(CACHED_MAX));
        Ok(Self { inner: Arc::new(Inner { connection, by_id, ids }) })
    }

    async fn ask<T: for<'de> Deserialize<'de>>(&self, request: Request<'_>) -> Result<T> {
        let what = request.what.to_owned();
        let answer = self.inner.connection.send(request).await?;
        serde_json::from_value(answer).map_err(|_| error::strange("its URL", &what))
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, path: &[&str], what: &str) -> Result<T> {
        self.ask(Request { method: Method::GET, path, query: &[], body: None, what }).await
    }

    /// Registers a schema and says its number. What was registered by this client before is not asked
    /// again.
    pub async fn register(&self, subject: &str, named: &Named, normalize: bool) -> Result<i32> {
        #[derive(Deserialize)]
        struct Answer {
            id: i32,
        }
        let key = (subject.to_owned(), named.clone(), normalize);
        let id = self.inner.ids.get(key, async {
            let query = [("normalize", if normalize { "true" } else { "false" })];
            let answer: Answer = self
                .ask(Request {
                    method: Method::POST,
                    path: &["subjects", subject, "versions"],
                    query: if normalize { &query } else { &[] },
                    body: Some(&named.body()),
                    what: &format!("register a schema for subject {subject}"),
                })
                .await?;
            Ok(answer.id)
        });
        id.await
    }

    /// The version of a subject that has a schema.
    pub async fn lookup(&self, subject: &str, named: &Named) -> Result<Found> {
        let what = format!("look up a schema of subject {subject}");
        let (path, body) = (["subjects", subject], named.body());
        let body = Some(&body);
        self.ask(Request { method: Method::POST, path: &path, query: &[], body, what: &what }).await
    }

    /// The schema of a number.
    pub async fn schema(&self, id: i32) -> Result<Arc<Named>> {
        let ask = async {
            let path = ["schemas", "ids", &id.to_string()];
            let named: Named = self.get(&path, &format!("tell schema {id}")).await?;
            Ok(Arc::new(named))
        };
        self.inner.by_id.get(id, ask).await
    }

    /// One version of a subject: a number, or `latest`.
    pub async fn version(&self, subject: &str, version: &str) -> Result<Found> {
        let path = ["subjects", subject, "versions", version];
        let what = format!("tell version {version} of subject {subject}");
        let found: Found = self.get(&path, &what).await?;
        self.inner.by_id.put(found.id, Arc::new(found.named.clone()));
        Ok(found)
    }

    /// All subjects.
    pub async fn subjects(&self) -> Result<Vec<String>> {
        self.get(&["subjects"], "list its subjects").await
    }

    /// Versions of a subject.
    pub async fn versions(&self, subject: &str) -> Result<Vec<i32>> {
        let path = ["subjects", subject, "versions"];
        self.get(&path, &format!("list versions of subject {subject}")).await
    }

    /// Whether a schema could be registered: against all versions that count, or against one.
    pub async fn compatibility(
        &self,
        subject: &str,
        version: Option<&str>,
        named: &Named,
    ) -> Result<Verdict> {
        let mut path = vec!["compatibility", "subjects", subject, "versions"];
        path.extend(version);
        let query = [("verbose", "true")];
        let what = format!("check a schema against subject {subject}");
        let body = named.body();
        let (method, body) = (Method::POST, Some(&body));
        self.ask(Request { method, path: &path, query: &query, body, what: &what }).await
    }

    /// The level of a subject, which may be the one of all; without a subject, the one of all.
    pub async fn level(&self, subject: Option<&str>) -> Result<Level> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "compatibilityLevel")]
            level: Level,
        }
        let mut path = vec!["config"];
        path.extend(subject);
        let query = [("defaultToGlobal", "true")];
        let query: &[_] = if subject.is_some() { &query } else { &[] };
        let what = "tell its compatibility level";
        let (method, path) = (Method::GET, path.as_slice());
        let answer: Result<Answer> =
            self.ask(Request { method, path, query, body: None, what }).await;
        match answer {
            // Some registries do not know the parameter.
            Err(error) if subject.is_some() && error.code == "CDC-6013" => {
                Box::pin(self.level(None)).await
            }
            answer => Ok(answer?.level),
        }
    }

    /// Sets the level of a subject or of all.
    pub async fn set_level(&self, subject: Option<&str>, level: Level) -> Result<()> {
        let mut path = vec!["config"];
        path.extend(subject);
        let body = json!({ "compatibility": level.name() });
        let (path, body, what) = (path.as_slice(), Some(&body), "set a compatibility level");
        let answer: Result<Value> =
            self.ask(Request { method: Method::PUT, path, query: &[], body, what }).await;
        answer.map(drop)
    }

    /// A schema ready to be compared, with everything that it uses from other subjects.
    pub async fn parse(&self, named: &Named) -> Result<Schema> {
        let (mut texts, mut seen) = (Vec::new(), BTreeSet::new());
        self.collect(&named.references, &mut seen, &mut texts).await?;
        Ok(Schema::parse(named.schema_type, &named.schema, &texts)?)
    }

    async fn collect(
        &self,
        references: &[Reference],
        seen: &mut BTreeSet<String>,
        texts: &mut Vec<Referenced>,
    ) -> Result<()> {
        for reference in references {
            if !seen.insert(reference.name.clone()) {
                continue;
            }
            if seen.len() > REFERENCES_MAX {
                return Err(error::config("the schema uses too many others"));
            }
            let version = reference.version.to_string();
            let found = self.version(&reference.subject, &version).await?;
            Box::pin(self.collect(&found.named.references, seen, texts)).await?;
            texts.push(Referenced { name: reference.name.clone(), text: found.named.schema });
        }
        Ok(())
    }
}
