//! Confluent's REST API in front of the embedded registry.
//!
//! ```text
//! GET    /subjects, /subjects/{subject}/versions[/{version}[/schema|/referencedby]]
//! POST   /subjects/{subject}/versions      register
//! POST   /subjects/{subject}               look up
//! DELETE /subjects/{subject}[/versions/{version}]
//! GET    /schemas, /schemas/types, /schemas/ids/{id}[/schema|/subjects|/versions], /schemas/guids/{guid}
//! POST   /compatibility/subjects/{subject}/versions[/{version}]
//! GET, PUT, DELETE /config[/{subject}], /mode[/{subject}]
//! GET    /contexts, /v1/metadata/id, /v1/metadata/version
//! ```

mod answer;
mod schemas;
mod server;
mod settings;
mod subjects;

pub use server::{Server, router};
