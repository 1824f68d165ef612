//! Files that clients import without registering them, because every registry has them.

/// The text of such a file.
pub(super) fn text(name: &str) -> Option<&'static str> {
    match name {
        META_NAME => Some(META),
        "confluent/type/decimal.proto" | "confluent/types/decimal.proto" => Some(DECIMAL),
        "google/type/date.proto" => Some(DATE),
        "google/type/timeofday.proto" => Some(TIME_OF_DAY),
        _ => None,
    }
}

/// The import that a text needs and leaves out: registries know the options of this file without it.
pub(super) fn implied(text: &str) -> Option<&'static str> {
    let uses = text.contains("(confluent.") || text.contains("(.confluent.");
    (uses && !text.contains(META_NAME)).then_some(META_NAME)
}

const META_NAME: &str = "confluent/meta.proto";

const META: &str = r#"
syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Meta {
  string doc = 1;
  map<string, string> params = 2;
  repeated string tags = 3;
}
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
"#;

const DECIMAL: &str = r#"
syntax = "proto3";
package confluent.type;
message Decimal {
  bytes value = 1;
  uint32 precision = 2;
  int32 scale = 3;
}
"#;

const DATE: &str = r#"
syntax = "proto3";
package google.type;
message Date {
  int32 year = 1;
  int32 month = 2;
  int32 day = 3;
}
"#;

const TIME_OF_DAY: &str = r#"
syntax = "proto3";
package google.type;
message TimeOfDay {
  int32 hours = 1;
  int32 minutes = 2;
  int32 seconds = 3;
  int32 nanos = 4;
}
"#;
