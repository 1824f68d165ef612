//! A registry that keeps schemas in memory and refuses none.

use async_trait::async_trait;
use cdc_core::{
    Error, Origin, Result, Retry,
    registry::{RegisteredSchema, SchemaRegistry},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Numbers schemas: the same schema has the same number under every subject.
#[derive(Debug, Default)]
pub struct MemoryRegistry {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    schemas: Vec<Arc<RegisteredSchema>>,
    /// Numbers of each subject, in the order in which they came.
    subjects: BTreeMap<String, Vec<u32>>,
}

impl MemoryRegistry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Subjects with the numbers of their schemas.
    #[must_use]
    pub fn subjects(&self) -> BTreeMap<String, Vec<u32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).subjects.clone()
    }
}

#[async_trait]
impl SchemaRegistry for MemoryRegistry {
    async fn register(&self, subject: &str, schema: &RegisteredSchema) -> Result<u32> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.schemas.iter().position(|one| **one == *schema);
        let index = found.unwrap_or(known.schemas.len());
        if found.is_none() {
            known.schemas.push(Arc::new(schema.clone()));
        }
        let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        let numbers = known.subjects.entry(subject.to_owned()).or_default();
        if !numbers.contains(&number) {
            numbers.push(number);
        }
        Ok(number)
    }

    async fn schema(&self, id: u32) -> Result<Arc<RegisteredSchema>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(id).unwrap_or(0).checked_sub(1);
        let found = index.and_then(|index| known.schemas.get(index)).map(Arc::clone);
        found.ok_or_else(|| {
            let context = format!("the registry in memory has no schema {id}");
            Error::new("CDC-6013", Origin::Transport, Retry::AfterOperator, context)
        })
    }
}
