//! Reading the catalog: a fixed number of queries, however many tables there are.

use super::{
    Catalog, CatalogColumn, CatalogTable, CatalogType, CompositeField, Generated, LeftOut,
    ReplicaIdentity, Selection, TypeCatalog, TypeKind, failure::within,
};
use cdc_core::{Result, TableId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio_postgres::{Client, Row};

const SERVER: &str = "
SELECT pg_catalog.current_setting('server_version_num')::int4,
       (-123456.78::numeric)::money::text = '-$123,456.78'";

const TABLES: &str = "
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'p', c.relpersistence = 'u',
       CASE WHEN c.relkind = 'p'
            THEN coalesce((SELECT sum(leaf.reltuples) FROM pg_partition_tree(c.oid) AS part
                           JOIN pg_class AS leaf ON leaf.oid = part.relid
                           WHERE part.isleaf AND leaf.reltuples >= 0), -1)
            ELSE c.reltuples END::float8, c.relreplident,
       CASE WHEN c.relispartition
            THEN ARRAY(SELECT a.relid::oid FROM pg_partition_ancestors(c.oid) AS a
                       WHERE a.relid <> c.oid)
            ELSE '{}'::oid[] END,
       has_schema_privilege(n.oid, 'USAGE') AND
       (has_table_privilege(c.oid, 'SELECT') OR NOT EXISTS (
          SELECT FROM pg_attribute AS a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT')))
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND ($1::oid[] IS NULL OR c.oid = ANY ($1))
ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"";

const COLUMNS: &str = "
SELECT a.attrelid, a.attnum, a.attname::text, a.atttypid, a.atttypmod,
       format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, a.attgenerated,
       -- An array of one element, of whatever type the column has; what `box` prints holds commas. The
       -- root of partitions holds no rows: there it is what all partitions with such rows agree on.
       CASE WHEN t.typdelim <> ',' THEN NULL
            WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1]
            WHEN c.relkind = 'p' AND a.atthasdef THEN
              (SELECT CASE WHEN count(DISTINCT leaf.v) = 1 THEN min(leaf.v) END
               FROM (SELECT (l.attmissingval::text::text[])[1] AS v
                     FROM pg_partition_tree(c.oid) AS part
                     JOIN pg_attribute AS l ON l.attrelid = part.relid AND l.attname = a.attname
                     WHERE part.isleaf AND l.atthasmissing) AS leaf) END,
       -- What computes a generated column is kept in the same place.
       CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
LEFT JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum";

const KEYS: &str = "
SELECT indrelid, indisprimary, indisreplident,
       ARRAY(SELECT k.attnum FROM unnest(indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
             WHERE k.place <= indnkeyatts ORDER BY k.place)
FROM pg_index
WHERE indrelid = ANY ($1) AND (indisprimary OR indisreplident) AND indisvalid";

const TYPES: &str = "
WITH RECURSIVE used (oid) AS (
  SELECT DISTINCT given.oid FROM unnest($1::oid[]) AS given (oid)
  UNION
  SELECT part.oid FROM used JOIN pg_type AS t ON t.oid = used.oid
  CROSS JOIN LATERAL (
    SELECT t.typelem WHERE t.typelem <> 0 AND t.typlen = -1
    UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
    UNION ALL SELECT r.rngsubtype FROM pg_range AS r WHERE r.rngtypid = t.oid
    UNION ALL SELECT r.rngtypid FROM pg_range AS r WHERE r.rngmultitypid = t.oid
    UNION ALL SELECT a.atttypid FROM pg_attribute AS a
      WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
  ) AS part (oid)
)
SELECT t.oid, t.typtype, t.typelem, t.typlen, t.typbasetype, t.typtypmod, t.typdelim,
       t.typsend <> 0, coalesce(p.prosrc, ''),
       ARRAY(SELECT e.enumlabel::text FROM pg_enum AS e WHERE e.enumtypid = t.oid
             ORDER BY e.enumsortorder),
       (SELECT r.rngsubtype FROM pg_range AS r WHERE r.rngtypid = t.oid),
       (SELECT r.rngtypid FROM pg_range AS r WHERE r.rngmultitypid = t.oid),
       ARRAY(SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = t.typrelid
             AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
       ARRAY(SELECT a.atttypid FROM pg_attribute AS a WHERE a.attrelid = t.typrelid
             AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
       ARRAY(SELECT a.atttypmod FROM pg_attribute AS a WHERE a.attrelid = t.typrelid
             AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
FROM used JOIN pg_type AS t ON t.oid = used.oid LEFT JOIN pg_proc AS p ON p.oid = t.typsend";

/// Reads the catalog of the selected tables.
pub async fn load(client: &Client, selection: &Selection) -> Result<Catalog> {
    let server = within("read the server's settings", client.query_one(SERVER, &[])).await?;
    let rows =
        within("read the list of tables", client.query(TABLES, &[&None::<Vec<u32>>])).await?;
    let listed = rows.iter().map(Listed::read).collect::<Result<Vec<_>, _>>();
    let listed = within("read the list of tables", async { listed }).await?;
    let (mut tables, left_out) = selected(listed, selection);
    describe(client, &mut tables).await?;
    let oids: BTreeSet<u32> =
        tables.iter().flat_map(|table| &table.columns).map(|column| column.type_oid).collect();
    let types = read_types(client, oids).await?;
    let read = |row: &Row| -> Result<(i32, bool), tokio_postgres::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?))
    };
    let (version, plain_money) =
        within("read the server's settings", async { read(&server) }).await?;
    Ok(Catalog {
        tables,
        left_out,
        types: Arc::new(TypeCatalog::new(types, plain_money)),
        server_version: u32::try_from(version).unwrap_or(0),
    })
}

/// One table, as it is now, with the types of its columns added to `types`; `None` when there is none
/// with this number.
pub(crate) async fn load_table(
    client: &Client,
    oid: u32,
    types: &Arc<TypeCatalog>,
) -> Result<Option<(CatalogTable, Arc<TypeCatalog>)>> {
    let Some(table) = load_one(client, oid).await? else { return Ok(None) };
    let oids: Vec<u32> = table.columns.iter().map(|column| column.type_oid).collect();
    let types = with_types(client, &oids, types).await?;
    Ok(Some((table, types)))
}

/// The known types and, as they are now, those with these numbers.
pub(super) async fn with_types(
    client: &Client,
    oids: &[u32],
    types: &Arc<TypeCatalog>,
) -> Result<Arc<TypeCatalog>> {
    let newer = types.updated(read_types(client, oids.iter().copied()).await?);
    Ok(if newer == **types { Arc::clone(types) } else { Arc::new(newer) })
}

/// One table, as it is now; `None` when there is none with this number.
pub(super) async fn load_one(client: &Client, oid: u32) -> Result<Option<CatalogTable>> {
    let doing = "read the description of a table";
    let row = within(doing, client.query_opt(TABLES, &[&Some(vec![oid])])).await?;
    let Some(row) = row else { return Ok(None) };
    let listed = within(doing, async { Listed::read(&row) }).await?;
    let mut tables = vec![listed.table];
    describe(client, &mut tables).await?;
    Ok(tables.pop())
}

/// The numbers of a table's columns, as they are now.
pub(crate) async fn column_numbers(client: &Client, oid: u32) -> Result<Vec<i16>> {
    const NUMBERS: &str = "
        SELECT attnum FROM pg_attribute
        WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let doing = "read the numbers of a table's columns";
    let rows = within(doing, client.query(NUMBERS, &[&oid])).await?;
    within(doing, async { rows.iter().map(|row| row.try_get(0)).collect() }).await
}

/// A table before its columns are known.
struct Listed {
    table: CatalogTable,
    ancestors: Vec<u32>,
}

impl Listed {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let rows_estimated: f64 = row.try_get(5)?;
        let identity: i8 = row.try_get(6)?;
        let table = CatalogTable {
            oid: row.try_get(0)?,
            table: TableId::new(row.try_get::<_, String>(1)?, row.try_get::<_, String>(2)?),
            partitioned: row.try_get(3)?,
            unlogged: row.try_get(4)?,
            readable: row.try_get(8)?,
            columns: Vec::new(),
            primary_key: Vec::new(),
            replica_identity: match identity.to_be_bytes() {
                [b'n'] => ReplicaIdentity::Nothing,
                [b'f'] => ReplicaIdentity::Full,
                [b'i'] => ReplicaIdentity::Index(Vec::new()),
                _ => ReplicaIdentity::Default,
            },
            rows_estimated: estimate(rows_estimated),
        };
        Ok(Self { table, ancestors: row.try_get(7)? })
    }
}

/// -1 stands for a table that was never analysed.
fn estimate(rows: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate, and the sign is checked"
    )]
    (rows >= 0.0).then_some(rows as u64)
}

/// Keeps what is selected and can be captured, without partitions whose ancestor is kept too.
fn selected(listed: Vec<Listed>, selection: &Selection) -> (Vec<CatalogTable>, Vec<LeftOut>) {
    let (out, listed): (Vec<Listed>, Vec<Listed>) =
        listed.into_iter().partition(|listed| selection.leaves_out(&listed.table.table));
    let wanted = |listed: &Listed| {
        selection.matches(&listed.table.table)
            && (!selection.is_everything() || (listed.table.readable && !listed.table.unlogged))
    };
    let kept: Vec<Listed> = listed.into_iter().filter(wanted).collect();
    let oids: BTreeSet<u32> = kept.iter().map(|listed| listed.table.oid).collect();
    let tables: Vec<CatalogTable> = kept
        .into_iter()
        .filter(|listed| !listed.ancestors.iter().any(|ancestor| oids.contains(ancestor)))
        .map(|listed| listed.table)
        .collect();
    let captured_as = |listed: &Listed| {
        let root = tables.iter().find(|table| listed.ancestors.contains(&table.oid));
        root.map(|table| table.table.clone())
    };
    let out = out
        .into_iter()
        .map(|listed| LeftOut { captured_as: captured_as(&listed), table: listed.table.table });
    let out = out.collect();
    (tables, out)
}

/// Fills in columns and keys.
async fn describe(client: &Client, tables: &mut [CatalogTable]) -> Result<()> {
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let doing = "read the columns of the captured tables";
    let columns = within(doing, client.query(COLUMNS, &[&oids])).await?;
    let keys = within("read the keys of the captured tables", client.query(KEYS, &[&oids])).await?;
    within(doing, async {
        let mut by_oid: BTreeMap<u32, &mut CatalogTable> =
            tables.iter_mut().map(|table| (table.oid, table)).collect();
        for row in &columns {
            if let Some(table) = by_oid.get_mut(&row.try_get(0)?) {
                table.columns.push(column(row)?);
            }
        }
        for row in &keys {
            let Some(table) = by_oid.get_mut(&row.try_get(0)?) else { continue };
            let numbers: Vec<i16> = row.try_get(3)?;
            if row.try_get(2)?
                && let ReplicaIdentity::Index(columns) = &mut table.replica_identity
            {
                columns.clone_from(&numbers);
            }
            if row.try_get(1)? {
                table.primary_key = numbers;
            }
        }
        Ok(())
    })
    .await
}

fn column(row: &Row) -> Result<CatalogColumn, tokio_postgres::Error> {
    let generated: i8 = row.try_get(7)?;
    let generated = match generated.to_be_bytes() {
        [b's'] => Generated::Stored,
        [b'v'] => Generated::Virtual,
        _ => Generated::No,
    };
    Ok(CatalogColumn {
        attnum: row.try_get(1)?,
        name: row.try_get(2)?,
        type_oid: row.try_get(3)?,
        type_modifier: row.try_get(4)?,
        declared: row.try_get(5)?,
        nullable: row.try_get(6)?,
        generated,
        missing: row.try_get(8)?,
        default: row.try_get(9)?,
        captured: generated == Generated::No,
    })
}

/// Reads types and everything that they are made of.
pub(super) async fn read_types(
    client: &Client,
    oids: impl IntoIterator<Item = u32>,
) -> Result<Vec<CatalogType>> {
    let oids: Vec<u32> = oids.into_iter().collect();
    let doing = "read the types of the captured columns";
    let rows = within(doing, client.query(TYPES, &[&oids])).await?;
    within(doing, async { rows.iter().map(catalog_type).collect() }).await
}

fn catalog_type(row: &Row) -> Result<CatalogType, tokio_postgres::Error> {
    let kind: i8 = row.try_get(1)?;
    let (element, length): (u32, i16) = (row.try_get(2)?, row.try_get(3)?);
    let kind = match kind.to_be_bytes() {
        [b'e'] => TypeKind::Enum { labels: row.try_get(9)? },
        [b'd'] => TypeKind::Domain { base: row.try_get(4)?, modifier: row.try_get(5)? },
        [b'r'] => TypeKind::Range { subtype: row.try_get::<_, Option<u32>>(10)?.unwrap_or(0) },
        [b'm'] => TypeKind::Multirange { range: row.try_get::<_, Option<u32>>(11)?.unwrap_or(0) },
        [b'c'] => {
            let names: Vec<String> = row.try_get(12)?;
            let oids: Vec<u32> = row.try_get(13)?;
            let modifiers: Vec<i32> = row.try_get(14)?;
            let fields = names.into_iter().zip(oids.into_iter().zip(modifiers));
            let field = |(name, (type_oid, type_modifier))| CompositeField {
                name,
                type_oid,
                type_modifier,
            };
            TypeKind::Composite { fields: fields.map(field).collect() }
        }
        [b'p'] => TypeKind::Pseudo,
        _ if element != 0 && length == -1 => TypeKind::Array { element },
        _ => TypeKind::Base { send: row.try_get(8)? },
    };
    let delimiter: i8 = row.try_get(6)?;
    let [delimiter] = delimiter.to_be_bytes();
    Ok(CatalogType { oid: row.try_get(0)?, kind, has_binary: row.try_get(7)?, delimiter })
}
