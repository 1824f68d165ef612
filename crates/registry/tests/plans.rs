use cdc_registry::{
    Level, Schema, SchemaType,
    plan::{Order, Plan, plan},
};

fn of(schema_type: SchemaType, old: &str, new: &str) -> Plan {
    let parse = |text| Schema::parse(schema_type, text, &[]).unwrap();
    plan(&parse(old), &parse(new))
}

fn avro(old: &str, new: &str) -> Plan {
    let record = |fields| {
        format!(r#"{{"type":"record","name":"User","namespace":"shop","fields":[{fields}]}}"#)
    };
    of(SchemaType::Avro, &record(old), &record(new))
}

const ID: &str = r#"{"name":"id","type":"long"}"#;
const NAME: &str = r#"{"name":"name","type":"string"}"#;
const MAIL: &str = r#"{"name":"mail","type":"string","default":""}"#;

#[test]
fn the_same_schema_needs_no_steps() {
    let plan = avro(ID, ID);
    assert_eq!((plan.order, plan.levels.len()), (Order::Any, 7));
    assert!(plan.steps.is_empty() && plan.moves.is_empty());
}

#[test]
fn a_removed_field_wants_its_consumers_first() {
    let plan = avro(&format!("{ID},{NAME}"), &format!("{ID},{MAIL}"));
    assert_eq!(plan.order, Order::ConsumersFirst);
    assert_eq!(plan.levels, [Level::None, Level::Backward, Level::BackwardTransitive]);
    let orders: Vec<_> = plan.steps.iter().map(|step| (step.place.as_str(), step.order)).collect();
    assert_eq!(orders, [("shop.User.mail", Order::Any), ("shop.User.name", Order::ConsumersFirst)]);
    assert_eq!(plan.moves.len(), 1);
    assert!(plan.steps[1].advice[0].contains("default"));
}

#[test]
fn changes_that_pull_both_ways_are_made_one_after_the_other() {
    let plan =
        avro(&format!("{ID},{NAME}"), &format!(r#"{ID},{{"name":"title","type":"string"}}"#));
    assert_eq!((plan.order, plan.levels), (Order::Breaking, vec![Level::None]));
    let moves: Vec<_> = plan.moves.iter().map(|step| (step.order, step.places.join(" "))).collect();
    let expected = [
        (Order::ConsumersFirst, "shop.User.name".to_owned()),
        (Order::ProducersFirst, "shop.User.title".to_owned()),
    ];
    assert_eq!(moves, expected);
}

#[test]
fn a_new_type_breaks_and_the_plan_says_what_to_do_instead() {
    let plan = avro(ID, r#"{"name":"id","type":"string"}"#);
    assert_eq!(plan.moves[0].order, Order::Breaking);
    assert_eq!(plan.steps[0].reasons.len(), 2);
    assert!(plan.steps[0].advice[0].contains("add a new field"));
}

#[test]
fn properties_and_fields_of_other_languages_have_their_places() {
    let json = |properties: &str, required: &str| {
        format!(r#"{{"type":"object","properties":{{{properties}}},"required":[{required}]}}"#)
    };
    let old = json(r#""a":{"type":"string"},"b":{}"#, r#""a""#);
    let new = json(r#""a":{"type":"string","maxLength":3},"b":{}"#, r#""a","b""#);
    let plan = of(SchemaType::Json, &old, &new);
    let orders: Vec<_> = plan.steps.iter().map(|step| (step.place.as_str(), step.order)).collect();
    let first = Order::ProducersFirst;
    assert_eq!(orders, [("#/properties/a", first), ("#/properties/b", first)]);
    let proto = |fields: &str| format!("syntax = \"proto3\"; package p; message A {{ {fields} }}");
    let plan =
        of(SchemaType::Protobuf, &proto("int32 a = 1;"), &proto("string a = 1; int32 b = 2;"));
    let orders: Vec<_> = plan.steps.iter().map(|step| (step.place.as_str(), step.order)).collect();
    assert_eq!(orders, [("A#1", Order::Breaking), ("A#2", Order::Any)]);
}
