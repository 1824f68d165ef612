use cdc_registry::{Level, Referenced, Schema, SchemaType, check, reads};
use proptest::prelude::*;
use serde_json::Value;

use crate::cases::{cases, text};

fn parse(schema_type: SchemaType, text: &str) -> Schema {
    Schema::parse(schema_type, text, &[]).unwrap()
}

fn refusal(schema_type: SchemaType, text: &str) -> String {
    Schema::parse(schema_type, text, &[]).unwrap_err().to_string()
}

#[test]
fn avro_texts_that_say_the_same_are_the_same() {
    let canonical = |text| parse(SchemaType::Avro, text).canonical();
    assert_eq!(canonical(r#"{"type": "string"}"#), "\"string\"");
    assert_eq!(canonical("\"string\""), canonical(" string "));
    assert_eq!(
        canonical(
            r#"{"name":"b.User", "type":"record", "fields":[{"type":{"type":"long"},"name":"id"},
               {"name":"other","type":["null","b.User"],"default":null,"order":"ascending"}]}"#
        ),
        r#"{"type":"record","name":"User","namespace":"b","fields":[{"name":"id","type":"long"},{"name":"other","type":["null","User"],"default":null}]}"#
    );
}

#[test]
fn avro_keeps_what_others_put_into_a_schema() {
    let text = r#"{"type":"record","name":"Value","namespace":"shop.public.users","fields":[{"name":"at","type":{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"},"default":0}],"connect.name":"shop.public.users.Value"}"#;
    assert_eq!(parse(SchemaType::Avro, text).canonical(), text);
    let normalized = parse(SchemaType::Avro, text).normalized();
    assert!(
        normalized
            .contains(r#""connect.name":"io.debezium.time.MicroTimestamp","connect.version":1"#)
    );
}

#[test]
fn avro_refuses_what_is_no_schema() {
    for (text, reason) in [
        ("{", "not JSON"),
        ("3", "no schema"),
        (r#"{"name":"a"}"#, "no `type`"),
        (r#""User""#, "defined before its use"),
        (r#"{"type":"record","name":"1a","fields":[]}"#, "no name"),
        (r#"{"type":"record","name":"a"}"#, "`fields` must be a list"),
        (
            r#"{"type":"record","name":"a","fields":[{"name":"x","type":"int"},{"name":"x","type":"int"}]}"#,
            "there twice",
        ),
        (r#"["int","int"]"#, "twice"),
        (r#"["int",["null"]]"#, "directly hold a union"),
        (r#"{"type":"enum","name":"e","symbols":["A"],"default":"B"}"#, "none of the symbols"),
        (r#"{"type":"enum","name":"e","symbols":["A","A"]}"#, "there twice"),
        (r#"{"type":"fixed","name":"f"}"#, "`size`"),
        (
            r#"{"type":"record","name":"a","fields":[{"name":"x","type":"int","default":"one"}]}"#,
            "no value of the type",
        ),
        (
            r#"[{"type":"fixed","name":"f","size":1},{"type":"enum","name":"f","symbols":[]}]"#,
            "defined twice",
        ),
    ] {
        let told = refusal(SchemaType::Avro, text);
        assert!(told.contains(reason), "{text}: {told}");
    }
}

#[test]
fn avro_types_may_come_from_other_schemas() {
    let address = r#"{"type":"record","name":"Address","namespace":"a","fields":[{"name":"street","type":"string"}]}"#;
    let user = r#"{"type":"record","name":"User","namespace":"a","fields":[{"name":"home","type":"Address"}]}"#;
    let other = |text: &str| [Referenced { name: "a.Address".to_owned(), text: text.to_owned() }];
    assert!(refusal(SchemaType::Avro, user).contains("a.Address"));
    let old = Schema::parse(SchemaType::Avro, user, &other(address)).unwrap();
    assert_eq!(old.canonical(), user, "what it refers to is not written into it");
    let wider = address.replace("\"string\"", "\"bytes\"");
    let longer = address.replace("]}", r#",{"name":"city","type":"string"}]}"#);
    let new = |text: &str| Schema::parse(SchemaType::Avro, user, &other(text)).unwrap();
    assert!(check(Level::Full, &new(&wider), &[&old]).is_empty());
    let breaches = check(Level::Full, &new(&longer), &[&old]);
    assert_eq!(breaches.len(), 1);
    assert_eq!(breaches[0].finding.path, "/fields/0/type/fields/1");
    assert_eq!(breaches[0].finding.place, "a.Address.city");
}

#[test]
fn json_refuses_what_is_no_schema() {
    for text in
        ["{", "3", r#"{"type":"text"}"#, r##"{"$ref":"#/definitions/x"}"##, r#"{"required":1}"#]
    {
        assert!(!refusal(SchemaType::Json, text).is_empty(), "{text}");
    }
    let told = refusal(SchemaType::Json, r#"{"properties":{"a":{"type":"secret"}}}"#);
    assert!(told.contains("/properties/a/type") && !told.contains("secret"), "{told}");
}

#[test]
fn json_never_fetches_what_it_refers_to() {
    let told = refusal(SchemaType::Json, r#"{"$ref":"http://127.0.0.1:9/schema.json"}"#);
    assert!(!told.is_empty());
}

#[test]
fn json_schemas_may_refer_to_others_by_name() {
    let user = r#"{"type":"object","properties":{"home":{"$ref":"address.json"}}}"#;
    let other =
        |text: &str| [Referenced { name: "address.json".to_owned(), text: text.to_owned() }];
    let old = Schema::parse(SchemaType::Json, user, &other(r#"{"type":"integer"}"#)).unwrap();
    let new = Schema::parse(SchemaType::Json, user, &other(r#"{"type":"number"}"#)).unwrap();
    assert!(reads(&new, &old).is_empty());
    assert_eq!(reads(&old, &new).first().map(|finding| finding.kind), Some("TYPE_NARROWED"));
    let named = user.replacen('{', r#"{"$id":"https://example.com/user.json","#, 1);
    Schema::parse(SchemaType::Json, &named, &other(r#"{"type":"integer"}"#)).unwrap();
}

#[test]
fn json_that_refers_to_itself_is_its_own_successor() {
    let schema = parse(SchemaType::Json, r##"{"$ref":"#"}"##);
    assert!(reads(&schema, &schema).is_empty());
    let other = parse(SchemaType::Json, r##"{"anyOf":[{"$ref":"#"},{"type":"null"}]}"##);
    assert!(reads(&other, &other).is_empty());
    assert!(!reads(&schema, &other).is_empty(), "what cannot be told is refused");
}

#[test]
fn json_that_goes_in_circles_ends() {
    let circle = r##"{"oneOf":[{"allOf":[{"$ref":"#/oneOf/0"}]},{"type":"string"}]}"##;
    let schema = parse(SchemaType::Json, circle);
    let other = parse(SchemaType::Json, &circle.replace("string", "integer"));
    // What a circle allows is anybody's guess; an answer is what counts.
    drop((reads(&schema, &other), reads(&other, &schema), schema.listing()));
}

/// Alternatives of alternatives are tried one after the other, but not for ever.
#[test]
fn comparisons_that_would_not_end_are_refused() {
    let json = |leaf: &str| {
        (0..40).fold(format!(r#"{{"type":"{leaf}"}}"#), |inner, _| {
            format!(r#"{{"anyOf":[{inner},{{"type":"object","properties":{{"x":{{}}}}}}]}}"#)
        })
    };
    let (old, new) = (json("string"), json("integer"));
    let (old, new) = (parse(SchemaType::Json, &old), parse(SchemaType::Json, &new));
    assert!(!reads(&new, &old).is_empty());
    let avro = |leaf: &str| {
        (0..30).fold(format!("\"{leaf}\""), |inner, number| {
            format!(
                r#"[{{"type":"record","name":"a{number}.R","fields":[{{"name":"f","type":{inner}}}]}},
                    {{"type":"record","name":"b{number}.R","fields":[{{"name":"f","type":"null"}}]}}]"#
            )
        })
    };
    let (old, new) = (avro("string"), avro("int"));
    let (old, new) = (parse(SchemaType::Avro, &old), parse(SchemaType::Avro, &new));
    assert!(!reads(&new, &old).is_empty());
}

#[test]
fn json_is_normalised_by_the_order_of_its_keys() {
    let schema = parse(SchemaType::Json, r#"{"type": "object", "properties": {"b": {}, "a": {}}}"#);
    assert_eq!(schema.canonical(), r#"{"type":"object","properties":{"b":{},"a":{}}}"#);
    assert_eq!(schema.normalized(), r#"{"properties":{"a":{},"b":{}},"type":"object"}"#);
}

const PROTO: &str = r#"syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "confluent/meta.proto";
option java_package = "com.example";
option (confluent.file_meta) = { doc: "all \"users\"", params: [{ key: "a" value: "b" }] };
message User {
  option deprecated = true;
  reserved 9, 20 to 30, 1000 to max;
  reserved "old";
  int64 id = 1 [(confluent.field_meta) = { doc: "its number" }];
  repeated int32 marks = 2 [packed = false, json_name = "scores"];
  map<string, .shop.User.Inner> inners = 3;
  optional string note = 4;
  oneof pick {
    string a = 5;
    .google.protobuf.Timestamp b = 6;
  }
  message Inner {
    .shop.Color color = 1;
  }
}
enum Color {
  option allow_alias = true;
  NONE = 0;
  NOTHING = 0;
  RED = -1 [deprecated = true];
}
service Users {
  rpc Find (.shop.User) returns (stream .shop.User);
}
"#;

#[test]
fn protobuf_has_one_text_whether_it_comes_as_text_or_as_a_descriptor() {
    let schema = parse(SchemaType::Protobuf, PROTO);
    assert_eq!(schema.canonical(), PROTO);
    let Schema::Protobuf(file) = &schema else { panic!() };
    let from_descriptor = parse(SchemaType::Protobuf, &file.serialized());
    assert_eq!(from_descriptor.canonical(), schema.canonical());
    assert_eq!(parse(SchemaType::Protobuf, &schema.normalized()).normalized(), schema.normalized());
    let short = PROTO.replace(".shop.", "");
    assert_eq!(parse(SchemaType::Protobuf, &short).canonical(), schema.canonical());
}

#[test]
fn notes_of_confluent_need_no_import() {
    let text = "syntax = \"proto3\";\npackage shop;\nmessage User {\n  int32 id = 1 \
                [(confluent.field_meta) = { params: [{ key: \"connect.type\" value: \"int16\" }] }];\n}\n";
    let schema = parse(SchemaType::Protobuf, text);
    assert_eq!(schema.canonical(), text);
    let imports = text.replace("message User", "import \"confluent/meta.proto\";\nmessage User");
    assert_eq!(parse(SchemaType::Protobuf, &imports).canonical(), imports);
}

#[test]
fn protobuf_keeps_the_second_version_of_its_language() {
    let text = r#"syntax = "proto2";
message Old {
  extensions 100 to 199;
  required int32 id = 1;
  optional string name = 2 [default = "a\"b"];
  optional .Kind kind = 3 [default = B];
  repeated group Item = 4 {
    optional bytes raw = 1 [default = "\001"];
  }
}
enum Kind {
  A = 0;
  B = 1;
}
extend .Old {
  optional int32 more = 100;
}
"#;
    assert_eq!(parse(SchemaType::Protobuf, text).canonical(), text);
}

#[test]
fn protobuf_refuses_what_is_no_schema() {
    for text in [
        "",
        "x",
        "syntax = \"proto3\";",
        "syntax = \"proto3\"; message A { Missing m = 1; }",
        "syntax = \"proto3\"; message A { int32 a = 1; int32 b = 1; }",
        "syntax = \"proto3\"; import \"other.proto\"; message A {}",
        "syntax = \"proto3\"; import \"/etc/passwd\"; message A {}",
        "AAAA",
    ] {
        assert!(!refusal(SchemaType::Protobuf, text).contains('\n'), "{text}");
    }
}

#[test]
fn protobuf_that_is_nested_too_deeply_is_refused() {
    for depth in [101, 5_000, 60_000] {
        let nested = format!("{}{}", "message A {".repeat(depth), "}".repeat(depth));
        let told = refusal(SchemaType::Protobuf, &format!("syntax = \"proto3\"; {nested}"));
        assert!(told.len() < 1_000, "{depth}: {told}");
    }
}

#[test]
fn protobuf_files_may_import_others() {
    let user = "syntax = \"proto3\"; import \"address.proto\"; message User { Address home = 1; }";
    let other =
        |text: &str| [Referenced { name: "address.proto".to_owned(), text: text.to_owned() }];
    let parse = |text| Schema::parse(SchemaType::Protobuf, user, &other(text)).unwrap();
    let old = parse("syntax = \"proto3\"; message Address { string street = 1; }");
    let new = parse("syntax = \"proto3\"; message Address { int32 street = 1; }");
    assert_eq!(reads(&new, &old)[0].place, "Address#1");
}

#[test]
fn a_schema_of_another_language_is_no_successor() {
    let (a, b) = (parse(SchemaType::Avro, "\"int\""), parse(SchemaType::Json, "{}"));
    assert_eq!(reads(&a, &b)[0].kind, "SCHEMA_TYPE_CHANGED");
}

#[test]
fn canonical_and_normalised_texts_are_their_own() {
    for schema_type in SchemaType::ALL {
        for case in cases(schema_type) {
            for schema in case.earlier.iter().chain([&case.new]) {
                let schema = parse(schema_type, &text(schema));
                let again = parse(schema_type, &schema.canonical());
                assert_eq!(again.canonical(), schema.canonical(), "{}", case.name);
                let again = parse(schema_type, &schema.normalized());
                assert_eq!(again.normalized(), schema.normalized(), "{}", case.name);
                assert!(reads(&again, &schema).is_empty(), "{}", case.name);
            }
        }
    }
}

fn json() -> impl Strategy<Value = Value> {
    let words = prop_oneof![
        Just("type"),
        Just("object"),
        Just("string"),
        Just("array"),
        Just("record"),
        Just("name"),
        Just("fields"),
        Just("items"),
        Just("properties"),
        Just("enum"),
        Just("symbols"),
        Just("x"),
        Just("$ref"),
        Just("#"),
        Just("#/properties/x"),
        Just("anyOf"),
        Just("oneOf"),
        Just("not"),
        Just("additionalProperties"),
        Just("allOf"),
        Just("#/oneOf/0"),
        Just("default"),
        Just("int"),
        Just("null"),
        Just("required"),
    ];
    let word = words.prop_map(str::to_owned);
    let leaf = prop_oneof![
        word.clone().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((word.clone(), inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_parser_panic(value in json(), other in json()) {
        for schema_type in SchemaType::ALL {
            let one = Schema::parse(schema_type, &value.to_string(), &[]);
            let two = Schema::parse(schema_type, &other.to_string(), &[]);
            if let (Ok(one), Ok(two)) = (one, two) {
                drop((reads(&one, &two), one.canonical(), one.normalized(), one.listing()));
                prop_assert!(reads(&one, &one).is_empty());
                // A title says nothing about values, and makes the schemas unequal.
                if let (Schema::Json(_), Value::Object(titled)) = (&one, &value)
                    && !value.to_string().contains("$ref")
                {
                    let mut titled = titled.clone();
                    titled.insert("title".to_owned(), "x".into());
                    let titled = Value::Object(titled).to_string();
                    let titled = Schema::parse(schema_type, &titled, &[]).unwrap();
                    prop_assert!(reads(&one, &titled).is_empty() && reads(&titled, &one).is_empty());
                }
            }
        }
    }
}
