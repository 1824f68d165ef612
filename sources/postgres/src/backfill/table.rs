//! How the rows of one table are read in pieces.

use super::{
    schedule::{What, Work},
    tid::Range,
};
use crate::{
    connection::SharedSql,
    convert::Decoder,
    quote,
    schema::{self, Published, TypeCatalog},
    snapshot::{bracketed, select_list},
};
use cdc_core::{Result, TableSchema};
use std::{collections::BTreeMap, sync::Arc};

/// How one table is read, as long as it looks as it did.
#[derive(Debug)]
pub(crate) struct TablePlan {
    /// What the catalog said of the table's shape.
    pub(crate) fingerprint: String,
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) decoder: Decoder,
    pub(crate) as_text: Box<[bool]>,
    columns: String,
    /// Only these rows are published.
    filter: Option<String>,
}

/// What plans are made from.
#[derive(Debug)]
pub(crate) struct Planner {
    types: Arc<TypeCatalog>,
    published: Published,
    plans: BTreeMap<u32, Arc<TablePlan>>,
}

impl Planner {
    pub(crate) fn new(types: Arc<TypeCatalog>, published: Published) -> Self {
        Self { types, published, plans: BTreeMap::new() }
    }

    /// The plan of a table that looks like `fingerprint`. The table must be locked against changes of
    /// its shape. `None` when it is gone.
    pub(crate) async fn plan(
        &mut self,
        sql: &SharedSql,
        oid: u32,
        fingerprint: &str,
    ) -> Result<Option<Arc<TablePlan>>> {
        if let Some(known) = self.plans.get(&oid).filter(|known| known.fingerprint == fingerprint) {
            return Ok(Some(Arc::clone(known)));
        }
        let client = sql.get().await?;
        let found = schema::load_table(&client, oid, &self.types).await?;
        let Some((mut table, types)) = found else { return Ok(None) };
        self.types = types;
        self.published.narrow(&mut table);
        let decoder = schema::decoder(&table, &self.types);
        let as_text: Box<[bool]> =
            (0..decoder.column_count()).map(|column| decoder.needs_text_cast(column)).collect();
        let plan = Arc::new(TablePlan {
            fingerprint: fingerprint.to_owned(),
            schema: schema::table_schema(&table, &self.types),
            columns: select_list(&table, &as_text),
            filter: self.published.filter(&table.table).map(str::to_owned),
            decoder,
            as_text,
        });
        self.plans.insert(oid, Arc::clone(&plan));
        Ok(Some(plan))
    }
}

impl TablePlan {
    /// The COPY of the rows that a piece of work is about; `None` where it is about none.
    pub(crate) fn statement(&self, work: &Work, file_name: &str) -> Option<String> {
        let (from, rows) = match &work.what {
            What::Files | What::Nothing => return None,
            What::Range { number: 0, .. } => (format!("ONLY {file_name}"), None),
            What::Range { range: Range { from, to }, .. } => (
                format!("ONLY {file_name}"),
                Some(format!("ctid >= '{from}'::tid AND ctid < '{to}'::tid")),
            ),
            What::Keys(keys) => (
                quote::table(&self.schema.table),
                Some(self.among(keys.iter().map(|(key, _)| key))),
            ),
        };
        // A row that is read by its key and does not meet the condition of an order is still there.
        let ordered = match &work.what {
            What::Keys(_) => &None,
            What::Files | What::Nothing | What::Range { .. } => &work.condition,
        };
        let also = self.filter.iter().chain(ordered).map(|condition| bracketed(condition));
        let conditions: Vec<String> = rows.into_iter().chain(also).collect();
        let conditions = match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        };
        let columns = &self.columns;
        Some(format!("COPY (SELECT {columns} FROM {from}{conditions}) TO STDOUT (FORMAT binary)"))
    }

    /// The condition that a row has one of these keys.
    fn among<'k>(&self, keys: impl Iterator<Item = &'k Vec<String>>) -> String {
        let mut columns = self.schema.key_columns();
        if let (Some(only), None) = (columns.next(), columns.next()) {
            let values: Vec<String> = keys.flatten().map(|text| quote::literal(text)).collect();
            return format!("{} IN ({})", quote::identifier(&only.name), values.join(", "));
        }
        let keys: Vec<String> = keys.map(|key| self.equals(key)).collect();
        format!("({})", keys.join(" OR "))
    }

    /// The condition that a row has this key, of several columns.
    fn equals(&self, key: &[String]) -> String {
        let columns = self.schema.key_columns().zip(key).map(|(column, text)| {
            format!("{} = {}", quote::identifier(&column.name), quote::literal(text))
        });
        let columns: Vec<String> = columns.collect();
        if columns.is_empty() { "false".to_owned() } else { format!("({})", columns.join(" AND ")) }
    }
}

/// Asks what a reader has to know once a table is locked: the snapshot, the number of the file, what
/// the table looks like. No row when the number or the file no longer belongs to that name.
pub(crate) fn look(work: &Work, file: u32) -> String {
    format!(
        "SELECT pg_current_snapshot()::text, coalesce(pg_relation_filenode({file}), 0)::text, \
         c.xmin::text || ' ' || coalesce((SELECT string_agg(a.attnum::text || ':' || a.xmin::text, ',' \
           ORDER BY a.attnum) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0), '') \
         || ' ' || coalesce((SELECT string_agg(i.indexrelid::text || i.indisprimary::text || \
           i.indisreplident::text, ',' ORDER BY i.indexrelid) FROM pg_index AS i \
           WHERE i.indrelid = c.oid), '') \
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.oid = {oid} AND n.nspname = {namespace} AND c.relname = {name} \
           AND ({file} = {oid} OR EXISTS (SELECT FROM pg_partition_ancestors({file}) AS a \
             WHERE a.relid = {oid}))",
        oid = work.oid,
        namespace = quote::literal(&work.table.namespace),
        name = quote::literal(&work.table.name),
    )
}

/// Asks for the files of a table: number of the relation, its name, number of the file, blocks, and the
/// bytes that a block's rows have on average.
pub(crate) fn files(oid: u32) -> String {
    format!(
        "SELECT leaf.oid::text, leaf.oid::regclass::text, \
           CASE WHEN am.amname = 'heap' THEN coalesce(pg_relation_filenode(leaf.oid), 0) ELSE 0 END::text, \
           (pg_relation_size(leaf.oid) / current_setting('block_size')::int8)::text, \
           (pg_table_size(leaf.oid) / greatest(1, pg_relation_size(leaf.oid) \
             / current_setting('block_size')::int8))::text \
         FROM pg_class AS leaf LEFT JOIN pg_am AS am ON am.oid = leaf.relam \
         WHERE leaf.relkind IN ('r', 'f') AND (leaf.oid = {oid} OR leaf.oid IN ( \
           SELECT part.relid FROM pg_partition_tree({oid}) AS part WHERE part.isleaf)) \
         ORDER BY leaf.oid"
    )
}

/// Asks what a table is called now.
pub(crate) fn name(oid: u32) -> String {
    format!(
        "SELECT n.nspname::text, c.relname::text FROM pg_class AS c \
         JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = {oid}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::{Column, DataType, TableId};

    fn plan(filter: Option<&str>) -> TablePlan {
        let table = TableId::new("public", "odd \"name");
        let column = |name: &str| Column {
            name: name.to_owned(),
            data_type: DataType::Int64,
            native_type: "bigint".to_owned(),
            nullable: false,
            number: None,
            missing: None,
            default: None,
        };
        let schema = TableSchema {
            table: table.clone(),
            dialect: "postgres".to_owned(),
            columns: vec![column("a"), column("b c")],
            key: vec![1, 0],
            number: None,
        };
        TablePlan {
            fingerprint: String::new(),
            schema: Arc::new(schema),
            decoder: Decoder::new(&table, [], &Arc::new(TypeCatalog::default())),
            as_text: Box::default(),
            columns: "\"a\", \"b c\"".to_owned(),
            filter: filter.map(str::to_owned),
        }
    }

    fn work(what: What, condition: Option<&str>) -> Work {
        let table = TableId::new("public", "odd \"name");
        Work { number: 1, table, oid: 5, condition: condition.map(str::to_owned), what }
    }

    #[test]
    fn each_piece_of_work_is_one_copy() {
        let range = Range::of_blocks(2);
        let what = What::Range { file: 5, number: 9, range };
        assert_eq!(
            plan(None).statement(&work(what.clone(), None), "public.t").unwrap(),
            "COPY (SELECT \"a\", \"b c\" FROM ONLY public.t WHERE ctid >= '(0,0)'::tid AND \
             ctid < '(2,0)'::tid) TO STDOUT (FORMAT binary)"
        );
        let both = plan(Some("a > 1")).statement(&work(what, Some("b OR c")), "public.t").unwrap();
        assert!(both.contains("ctid < '(2,0)'::tid AND (a > 1\n) AND (b OR c\n))"), "{both}");
        let keys = What::Keys(vec![(vec!["x'y".to_owned(), "7".to_owned()], Box::default())]);
        let keys = plan(None).statement(&work(keys, None), "").unwrap();
        assert!(
            keys.contains(
                "FROM \"public\".\"odd \"\"name\" WHERE ((\"b c\" = 'x''y' AND \"a\" = '7'))"
            ),
            "{keys}"
        );
        assert_eq!(plan(None).statement(&work(What::Files, None), ""), None);
    }
}
