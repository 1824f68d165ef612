//! The client as the registry that formats know.

use super::{Client, Named, error};
use crate::schema::SchemaType;
use async_trait::async_trait;
use cdc_core::{
    Result,
    registry::{RegisteredSchema, SchemaRegistry},
};
use std::sync::Arc;

#[async_trait]
impl SchemaRegistry for Client {
    async fn register(&self, subject: &str, schema: &RegisteredSchema) -> Result<u32> {
        let named = Named::new(SchemaType::from(schema.kind), &*schema.text);
        let id = Self::register(self, subject, &named, false).await?;
        u32::try_from(id).map_err(|_| error::strange("its URL", "register a schema"))
    }

    async fn schema(&self, id: u32) -> Result<Arc<RegisteredSchema>> {
        let number = i32::try_from(id).map_err(|_| error::no_number(id))?;
        let named = Self::schema(self, number).await?;
        let (kind, text) = (named.schema_type.into(), named.schema.as_str().into());
        Ok(Arc::new(RegisteredSchema { kind, text }))
    }
}
