//! Single fields of PostgreSQL rows, in both forms.

use bytes::Bytes;
use cdc_core::{TableId, Value};
use cdc_source_postgres::{
    convert::{DecodedColumn, Decoder},
    schema::{CatalogType, CompositeField, TypeCatalog, TypeKind},
};
use std::sync::{Arc, LazyLock};

/// Types that every server has, arrays of them included.
const BUILTIN: [u32; 78] = [
    16, 17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 28, 29, 30, 114, 142, 600, 601, 602, 603, 604, 628,
    650, 700, 701, 718, 774, 790, 829, 869, 1000, 1001, 1005, 1007, 1009, 1014, 1015, 1016, 1017,
    1020, 1021, 1022, 1041, 1042, 1043, 1082, 1083, 1114, 1115, 1182, 1184, 1185, 1186, 1187, 1231,
    1266, 1560, 1562, 1700, 1790, 2950, 2951, 2970, 3220, 3614, 3802, 3807, 3904, 3906, 3908, 3910,
    3912, 3926, 4072, 4451, 4532, 5038, 5069,
];
const ENUM: u32 = 100_001;
const DOMAIN: u32 = 100_002;
const COMPOSITE: u32 = 100_003;
const COMPOSITE_ARRAY: u32 = 100_004;
const RANGE: u32 = 100_005;
const MULTIRANGE: u32 = 100_006;
const HSTORE: u32 = 100_007;
const LTREE: u32 = 100_008;

static DECODER: LazyLock<Decoder> = LazyLock::new(decoder);

/// The first byte chooses a type, the second a form, the rest is the field: it is refused or becomes
/// a value that is what its variant says.
pub(super) fn feed(bytes: &[u8]) {
    let [choice, form, field @ ..] = bytes else { return };
    let column = usize::from(*choice) % DECODER.column_count();
    // Bytes around the field show a reader that leaves it.
    let frame = Bytes::from([b"\xff\xff", field, b"\xff\xff"].concat());
    let range = 2..frame.len() - 2;
    let read = if form % 2 == 0 { Decoder::binary } else { Decoder::text };
    match read(&DECODER, column, &frame, range) {
        Ok(value) => check(&value),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn check(value: &Value) {
    match value {
        Value::Text(text) | Value::Json(text) | Value::Decimal(text) => {
            std::str::from_utf8(text).expect("UTF-8");
        }
        Value::Array(array) => {
            let sizes = array.dimensions.iter().map(|dimension| dimension.length as usize);
            let size = if array.dimensions.is_empty() { 0 } else { sizes.product() };
            assert_eq!(size, array.elements.len());
            array.elements.iter().for_each(check);
        }
        Value::Timestamp(time) | Value::TimestampTz(time) => assert!(time.nanos < 1_000_000_000),
        Value::Time(nanos) | Value::TimeTz { nanos, .. } => {
            assert!((0..=86_400_000_000_000).contains(nanos));
        }
        _ => {}
    }
}

fn decoder() -> Decoder {
    let found = |(oid, kind)| CatalogType { oid, kind, has_binary: true, delimiter: b',' };
    let types = TypeCatalog::new(custom_types().map(found), true);
    let custom = [ENUM, DOMAIN, COMPOSITE, COMPOSITE_ARRAY, RANGE, MULTIRANGE, HSTORE, LTREE];
    let columns = BUILTIN.into_iter().chain(custom).map(|type_oid| DecodedColumn {
        name: "c".to_owned(),
        type_oid,
        type_name: "t".to_owned(),
    });
    Decoder::new(&TableId::new("public", "fuzzed"), columns, &Arc::new(types))
}

fn custom_types() -> impl Iterator<Item = (u32, TypeKind)> {
    let member = |(name, type_oid): (&str, u32)| CompositeField {
        name: name.to_owned(),
        type_oid,
        type_modifier: -1,
    };
    let members = [("a", 23), ("b", 25), ("c", 1700), ("d", 1007), ("e", ENUM), ("f", 1184)];
    [
        (ENUM, TypeKind::Enum { labels: vec!["sad".to_owned(), "ok".to_owned()] }),
        (DOMAIN, TypeKind::Domain { base: 1700, modifier: -1 }),
        (COMPOSITE, TypeKind::Composite { fields: members.map(member).to_vec() }),
        (COMPOSITE_ARRAY, TypeKind::Array { element: COMPOSITE }),
        (RANGE, TypeKind::Range { subtype: 1114 }),
        (MULTIRANGE, TypeKind::Multirange { range: RANGE }),
        (HSTORE, TypeKind::Base { send: "hstore_send".to_owned() }),
        (LTREE, TypeKind::Base { send: "ltree_send".to_owned() }),
    ]
    .into_iter()
}
