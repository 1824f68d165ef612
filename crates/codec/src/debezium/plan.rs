//! What can be said about a table's columns once for all of its changes.

use super::envelope::value_schema;
use super::{column_default, form::Form, options::Options, schemas};
use crate::connect::{self, Label, Literal};
use cdc_core::{TableSchema, naming};
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many schemas are kept; more than a database of any sensible size changes between restarts.
const SCHEMAS_MAX: usize = 4_096;
/// So many bytes of plans are kept.
const BYTES_MAX: usize = 64 << 20;

/// One column, ready to be written.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) label: Label,
    pub(super) form: Form,
    /// May it not be null?
    pub(super) required: bool,
    /// What its schema has for rows that say nothing of it.
    pub(super) default: Option<Literal>,
}

/// One table schema, ready to be written.
#[derive(Debug)]
pub(super) struct Plan {
    /// Also keeps the address by which the plan is found from being used again.
    pub(super) schema: Arc<TableSchema>,
    pub(super) columns: Vec<Column>,
    pub(super) topic: Arc<str>,
    /// The schemas of key and value as text, where records carry them.
    pub(super) texts: Option<Texts>,
}

/// The schemas of a table's records as the JSON converter prints them.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
}

impl Plan {
    fn new(schema: &Arc<TableSchema>, topic_prefix: &str, options: &Options) -> Self {
        let columns = schema.columns.iter().map(|column| {
            let form = Form::of(column, options);
            Column {
                label: Label::new(options.field_names.field(&column.name)),
                required: !column.nullable,
                default: column_default::literal(column, &form),
                form,
            }
        });
        let texts = options.schemas.then(|| {
            let mut texts = Texts::default();
            if let Some(key) = schemas::key(schema, topic_prefix, options) {
                connect::print(&key, &mut texts.key);
            }
            connect::print(&value_schema(schema, topic_prefix, options), &mut texts.value);
            texts
        });
        let topic = naming::topic(topic_prefix, &schema.table).into();
        Self { schema: Arc::clone(schema), columns: columns.collect(), topic, texts }
    }

    /// About the bytes that it keeps in memory.
    fn size_bytes(&self) -> usize {
        let texts = self.texts.as_ref().map_or(0, |texts| texts.key.len() + texts.value.len());
        let labels: usize = self.columns.iter().map(|column| column.label.name().len() * 2).sum();
        texts + labels + self.columns.len() * size_of::<Column>()
    }
}

/// Plans by the address of their schema.
#[derive(Debug, Default)]
pub(super) struct Plans {
    by_address: BTreeMap<usize, Arc<Plan>>,
    last: Option<Arc<Plan>>,
    size_bytes: usize,
}

impl Plans {
    /// The plan of a schema.
    pub(super) fn of(
        &mut self,
        schema: &Arc<TableSchema>,
        topic_prefix: &str,
        options: &Options,
    ) -> Arc<Plan> {
        if let Some(plan) = self.last.as_ref().filter(|plan| Arc::ptr_eq(&plan.schema, schema)) {
            return Arc::clone(plan);
        }
        let address = Arc::as_ptr(schema).addr();
        let plan = match self.by_address.get(&address) {
            Some(plan) => Arc::clone(plan),
            None => {
                let plan = Arc::new(Plan::new(schema, topic_prefix, options));
                self.size_bytes += plan.size_bytes();
                if self.by_address.len() >= SCHEMAS_MAX || self.size_bytes > BYTES_MAX {
                    self.by_address.clear();
                    self.size_bytes = plan.size_bytes();
                }
                self.by_address.insert(address, Arc::clone(&plan));
                plan
            }
        };
        self.last = Some(Arc::clone(&plan));
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::super::native::Native;
    use super::*;
    use cdc_core::{Column as SchemaColumn, DataType, TableId};

    fn schema(name: &str) -> Arc<TableSchema> {
        Arc::new(TableSchema {
            table: TableId::new("public", name),
            dialect: "postgres".to_owned(),
            columns: vec![SchemaColumn {
                name: "quo\"ted".to_owned(),
                data_type: DataType::Array(Box::new(DataType::Other)),
                native_type: "bit(12)[]".to_owned(),
                nullable: true,
                number: None,
                missing: None,
                default: None,
            }],
            key: Vec::new(),
            number: None,
        })
    }

    #[test]
    fn one_schema_is_planned_once() {
        let (mut plans, options) = (Plans::default(), Options::default());
        let (first, second) = (schema("a"), schema("b"));
        let plan = plans.of(&first, "cdc", &options);
        assert!(!Arc::ptr_eq(&plan, &plans.of(&second, "cdc", &options)));
        assert!(Arc::ptr_eq(&plan, &plans.of(&first, "cdc", &options)));
    }

    #[test]
    fn the_number_of_plans_is_bounded() {
        let (mut plans, options) = (Plans::default(), Options::default());
        for _ in 0..=SCHEMAS_MAX {
            plans.of(&schema("t"), "cdc", &options);
        }
        assert!(plans.by_address.len() <= SCHEMAS_MAX && plans.size_bytes <= BYTES_MAX);
    }

    #[test]
    fn columns_know_their_label_and_form() {
        let plan = Plan::new(&schema("t\n"), "cdc", &Options::default());
        assert_eq!(plan.columns[0].label.json(), br#""quo\"ted":"#);
        let bits = Form::Native(Native::Bits { length: 12 });
        assert_eq!(plan.columns[0].form, Form::Array(Box::new(bits)));
    }
}
