//! What can be said about a table's columns once for all of its changes.

use super::{error::Problem, json, native::Native, temporal::Unit};
use cdc_core::{DataType, TableSchema};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Stands for a value that the database did not send because it had not changed.
pub(super) const PLACEHOLDER: &str = "__debezium_unavailable_value";
/// The same in an array of UUIDs: version 3 of the placeholder's bytes, without a name space.
const PLACEHOLDER_UUID: &str = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";

/// So many schemas are kept; more than a database of any sensible size changes between restarts.
const SCHEMAS_MAX: usize = 4_096;

/// How a column's values are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As the value itself says.
    Plain,
    /// Unscaled bytes at this scale.
    Decimal { scale: i32 },
    /// Scale and unscaled bytes.
    AnyDecimal,
    /// A number of units since midnight.
    Time(Unit),
    /// A number of units since 1970.
    Timestamp(Unit),
    /// Text in another form.
    Native(Native),
    /// Elements of this form.
    Array(Box<Form>),
}

impl Form {
    fn of(data_type: &DataType, native_type: &str) -> Self {
        match data_type {
            DataType::Decimal { scale: Some(scale), .. } => Self::Decimal { scale: *scale },
            DataType::Decimal { scale: None, .. } => Self::AnyDecimal,
            DataType::Time { precision } => Self::Time(Unit::of_precision(*precision)),
            DataType::Timestamp { precision } => Self::Timestamp(Unit::of_precision(*precision)),
            DataType::Array(element) => {
                let element_type = native_type.trim_end_matches("[]");
                Self::Array(Box::new(Self::of(element, element_type)))
            }
            DataType::Other => Native::named(native_type).map_or(Self::Plain, Self::Native),
            DataType::Bool
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt64
            | DataType::Float32
            | DataType::Float64
            | DataType::Text
            | DataType::Bytes
            | DataType::Json
            | DataType::Date
            | DataType::TimeTz { .. }
            | DataType::TimestampTz { .. }
            | DataType::Interval
            | DataType::Uuid
            | DataType::Enum { .. } => Self::Plain,
        }
    }
}

/// One column, ready to be written.
#[derive(Debug)]
pub(super) struct Column {
    /// `"name":`
    pub(super) label: Vec<u8>,
    pub(super) form: Form,
    /// What stands for an unchanged value.
    pub(super) placeholder: Vec<u8>,
}

/// One table schema, ready to be written.
#[derive(Debug)]
pub(super) struct Plan {
    /// Also keeps the address by which the plan is found from being used again.
    pub(super) schema: Arc<TableSchema>,
    pub(super) columns: Vec<Column>,
    /// `"schema":"…","table":"…"`
    pub(super) source: Vec<u8>,
}

impl Plan {
    fn new(schema: &Arc<TableSchema>) -> Result<Self, (usize, Problem)> {
        let mut source = b"\"schema\":".to_vec();
        json::string(&mut source, &schema.table.namespace);
        source.extend_from_slice(b",\"table\":");
        json::string(&mut source, &schema.table.name);
        let mut columns = Vec::with_capacity(schema.columns.len());
        for (index, column) in schema.columns.iter().enumerate() {
            let mut label = Vec::with_capacity(column.name.len() + 3);
            json::string(&mut label, &column.name);
            label.push(b':');
            let mut placeholder = Vec::new();
            write_placeholder(&mut placeholder, &column.data_type)
                .map_err(|problem| (index, problem))?;
            let form = Form::of(&column.data_type, &column.native_type);
            columns.push(Column { label, form, placeholder });
        }
        Ok(Self { schema: Arc::clone(schema), columns, source })
    }
}

/// The placeholder in the form of its type, so that a reader's parser takes it. None of the forms is
/// a value that a real column would have by chance.
fn write_placeholder(out: &mut Vec<u8>, data_type: &DataType) -> Result<(), Problem> {
    match data_type {
        DataType::Bytes => json::base64(out, PLACEHOLDER.as_bytes())?,
        DataType::Decimal { scale: None, .. } => {
            out.extend_from_slice(b"{\"scale\":0,\"value\":");
            json::string(out, PLACEHOLDER);
            out.push(b'}');
        }
        DataType::Array(element) => match element.as_ref() {
            DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date => {
                for (index, byte) in PLACEHOLDER.bytes().enumerate() {
                    out.push(if index == 0 { b'[' } else { b',' });
                    json::unsigned(out, u64::from(byte));
                }
                out.push(b']');
            }
            element => {
                out.push(b'[');
                match element {
                    DataType::Uuid => json::string(out, PLACEHOLDER_UUID),
                    element => write_placeholder(out, element)?,
                }
                out.push(b']');
            }
        },
        _ => json::string(out, PLACEHOLDER),
    }
    Ok(())
}

/// Plans by the address of their schema.
#[derive(Debug, Default)]
pub(super) struct Plans {
    by_address: BTreeMap<usize, Arc<Plan>>,
    last: Option<Arc<Plan>>,
}

impl Plans {
    /// The plan of a schema. The error names the column that has none.
    pub(super) fn of(&mut self, schema: &Arc<TableSchema>) -> Result<Arc<Plan>, (usize, Problem)> {
        if let Some(plan) = self.last.as_ref().filter(|plan| Arc::ptr_eq(&plan.schema, schema)) {
            return Ok(Arc::clone(plan));
        }
        let address = Arc::as_ptr(schema).addr();
        let plan = match self.by_address.get(&address) {
            Some(plan) => Arc::clone(plan),
            None => {
                let plan = Arc::new(Plan::new(schema)?);
                if self.by_address.len() >= SCHEMAS_MAX {
                    self.by_address.clear();
                }
                self.by_address.insert(address, Arc::clone(&plan));
                plan
            }
        };
        self.last = Some(Arc::clone(&plan));
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::{Column as SchemaColumn, TableId};

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
            }],
            key: Vec::new(),
            number: None,
        })
    }

    #[test]
    fn one_schema_is_planned_once() {
        let mut plans = Plans::default();
        let (first, second) = (schema("a"), schema("b"));
        let plan = plans.of(&first).unwrap();
        assert!(!Arc::ptr_eq(&plan, &plans.of(&second).unwrap()));
        assert!(Arc::ptr_eq(&plan, &plans.of(&first).unwrap()));
    }

    #[test]
    fn the_number_of_plans_is_bounded() {
        let mut plans = Plans::default();
        for _ in 0..=SCHEMAS_MAX {
            plans.of(&schema("t")).unwrap();
        }
        assert!(plans.by_address.len() <= SCHEMAS_MAX);
    }

    #[test]
    fn columns_know_their_label_and_form() {
        let plan = Plan::new(&schema("t\n")).unwrap();
        assert_eq!(plan.source, br#""schema":"public","table":"t\n""#);
        assert_eq!(plan.columns[0].label, br#""quo\"ted":"#);
        let bits = Form::Native(Native::Bits { width: 2 });
        assert_eq!(plan.columns[0].form, Form::Array(Box::new(bits)));
    }
}
