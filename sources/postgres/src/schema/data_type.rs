//! What a PostgreSQL type is to us.

use super::{TypeCatalog, TypeKind};
use cdc_core::DataType;

/// Domains over domains go no deeper.
const DEPTH_MAX: usize = 32;
/// The server adds the size of a length word to the modifiers of variable-length types.
const MODIFIER_OFFSET: i32 = 4;

pub(super) fn data_type(oid: u32, modifier: i32, types: &TypeCatalog) -> DataType {
    at_depth(oid, modifier, types, 0)
}

fn at_depth(oid: u32, modifier: i32, types: &TypeCatalog, depth: usize) -> DataType {
    if depth > DEPTH_MAX {
        return DataType::Other;
    }
    if let Some(scalar) = scalar(oid, modifier) {
        return scalar;
    }
    match types.kind(oid) {
        // Arrays on the wire, but printed as numbers and spaces.
        _ if matches!(oid, 22 | 30) => DataType::Other,
        Some(TypeKind::Enum { labels }) => DataType::Enum { labels },
        Some(TypeKind::Domain { base, modifier }) => at_depth(base, modifier, types, depth + 1),
        // The modifier of an array is that of its elements.
        Some(TypeKind::Array { element }) => {
            DataType::Array(Box::new(match at_depth(element, modifier, types, depth + 1) {
                // Only a domain can make an array an element, and that stays a text.
                DataType::Array(_) => DataType::Other,
                element => element,
            }))
        }
        // citext and its like.
        Some(TypeKind::Base { send }) if send == "textsend" => DataType::Text,
        _ => DataType::Other,
    }
}

fn scalar(oid: u32, modifier: i32) -> Option<DataType> {
    let precision = u8::try_from(modifier).ok();
    Some(match oid {
        16 => DataType::Bool,
        17 => DataType::Bytes,
        // "char", name, text, bpchar, varchar.
        18 | 19 | 25 | 1042 | 1043 => DataType::Text,
        20 | 26 => DataType::Int64,
        21 => DataType::Int16,
        23 => DataType::Int32,
        114 | 3802 => DataType::Json,
        700 => DataType::Float32,
        701 => DataType::Float64,
        1082 => DataType::Date,
        1083 => DataType::Time { precision },
        1114 => DataType::Timestamp { precision },
        1184 => DataType::TimestampTz { precision },
        1186 => DataType::Interval,
        1266 => DataType::TimeTz { precision },
        1700 => numeric(modifier),
        2950 => DataType::Uuid,
        _ => return None,
    })
}

fn numeric(modifier: i32) -> DataType {
    let Some(packed) = modifier.checked_sub(MODIFIER_OFFSET).filter(|packed| *packed >= 0) else {
        return DataType::Decimal { precision: None, scale: None };
    };
    // Eleven bits with a sign: scales go from -1000 to 1000.
    let scale = ((packed & 0x7FF) ^ 1024) - 1024;
    DataType::Decimal { precision: u32::try_from(packed >> 16).ok(), scale: Some(scale) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_and_scale_come_out_of_the_modifier() {
        let decimal = |precision, scale| DataType::Decimal { precision, scale };
        assert_eq!(numeric(-1), decimal(None, None));
        assert_eq!(numeric((10 << 16) + 2 + 4), decimal(Some(10), Some(2)));
        assert_eq!(numeric((5 << 16) + (0x7FF & -3) + 4), decimal(Some(5), Some(-3)));
        assert_eq!(numeric((1000 << 16) + 1000 + 4), decimal(Some(1000), Some(1000)));
    }

    #[test]
    fn built_in_arrays_are_known_without_a_catalog() {
        let types = TypeCatalog::default();
        assert_eq!(data_type(1007, -1, &types), DataType::Array(Box::new(DataType::Int32)));
        assert_eq!(
            data_type(1115, 3, &types),
            DataType::Array(Box::new(DataType::Timestamp { precision: Some(3) }))
        );
        assert_eq!(data_type(22, -1, &types), DataType::Other);
        assert_eq!(data_type(999_999, -1, &types), DataType::Other);
    }
}
