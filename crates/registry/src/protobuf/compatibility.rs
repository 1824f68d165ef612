//! Whether messages of one Protobuf schema can be read with another, by what is on the wire.
//!
//! Fields are known by their numbers; names do not matter. A field may come and go, unless it is
//! required. Its type may become one that is written in the same way.

use super::parse::{Schema, kind_text, local};
use crate::compatibility::{Finding, Findings};
use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that keeps `reader` from reading what `writer` wrote; empty when it can.
pub(crate) fn reads(reader: &Schema, writer: &Schema) -> Findings {
    let mut check = Check { assumed: BTreeSet::new() };
    let (old, new) = (&writer.file, &reader.file);
    let mut findings = Findings::new();
    if old.package_name() != new.package_name() {
        let name = |package: &str| match package {
            "" => "none".to_owned(),
            package => package.to_owned(),
        };
        let (was, is) = (name(old.package_name()), name(new.package_name()));
        let message = format!("the package {was} became {is}");
        findings.push(found("PACKAGE_CHANGED", "package", message));
    }
    findings.extend(check.types(old.messages().collect(), new.messages().collect()));
    findings
}

struct Check {
    /// Pairs of messages that have been compared, or are being compared.
    assumed: BTreeSet<(String, String)>,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Number,
    SignedNumber,
    Text,
    Fixed32,
    Fixed64,
    Float,
    Double,
    Message,
    Map,
}

fn wire(field: &FieldDescriptor) -> Wire {
    if field.is_map() {
        return Wire::Map;
    }
    match field.kind() {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => {
            Wire::Number
        }
        Kind::Sint32 | Kind::Sint64 => Wire::SignedNumber,
        Kind::String | Kind::Bytes => Wire::Text,
        Kind::Fixed32 | Kind::Sfixed32 => Wire::Fixed32,
        Kind::Fixed64 | Kind::Sfixed64 => Wire::Fixed64,
        Kind::Float => Wire::Float,
        Kind::Double => Wire::Double,
        Kind::Message(_) => Wire::Message,
    }
}

/// The `oneof` that a field is in, not counting those that `optional` makes.
fn oneof(field: &FieldDescriptor) -> Option<String> {
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic())?;
    Some(oneof.name().to_owned())
}

impl Check {
    fn types(&mut self, old: Vec<MessageDescriptor>, new: Vec<MessageDescriptor>) -> Findings {
        let mut findings = Findings::new();
        let own = |message: &&MessageDescriptor| !message.is_map_entry();
        for was in old.iter().filter(own) {
            match new.iter().filter(own).find(|is| is.name() == was.name()) {
                Some(is) => findings.extend(self.message(was, is)),
                None => findings.push(found(
                    "MESSAGE_REMOVED",
                    &local(was),
                    format!("the message {} is gone", local(was)),
                )),
            }
        }
        findings
    }

    fn message(&mut self, old: &MessageDescriptor, new: &MessageDescriptor) -> Findings {
        if !self.assumed.insert((old.full_name().to_owned(), new.full_name().to_owned())) {
            return Findings::new();
        }
        let was: BTreeMap<u32, FieldDescriptor> =
            old.fields().map(|field| (field.number(), field)).collect();
        let is: BTreeMap<u32, FieldDescriptor> =
            new.fields().map(|field| (field.number(), field)).collect();
        let mut findings = oneofs(old, new, &was, &is);
        let numbers: BTreeSet<u32> = was.keys().chain(is.keys()).copied().collect();
        for number in numbers {
            let place = format!("{}#{number}", local(old));
            match (was.get(&number), is.get(&number)) {
                (Some(was), Some(is)) => findings.extend(self.field(&place, was, is)),
                (Some(was), None) if was.cardinality() == Cardinality::Required => {
                    let message = format!("the required field {} is gone", was.name());
                    findings.push(found("REQUIRED_FIELD_REMOVED", &place, message));
                }
                (None, Some(is)) if is.cardinality() == Cardinality::Required => {
                    let message = format!("the field {} must be there now", is.name());
                    findings.push(found("REQUIRED_FIELD_ADDED", &place, message));
                }
                _ => {}
            }
        }
        findings.extend(self.types(old.child_messages().collect(), new.child_messages().collect()));
        findings
    }

    fn field(&mut self, place: &str, old: &FieldDescriptor, new: &FieldDescriptor) -> Findings {
        let mut findings = self.value(place, old, new);
        let required = |field: &FieldDescriptor| field.cardinality() == Cardinality::Required;
        if required(new) && !required(old) {
            let message = format!("the field {} must be there now", new.name());
            findings.push(found("REQUIRED_FIELD_ADDED", place, message));
        }
        // Several texts or messages are written one by one, and the last one counts; several numbers
        // are written together, which a reader of one number does not expect.
        let packs = !matches!(wire(old), Wire::Text | Wire::Message | Wire::Map);
        let several = |field: &FieldDescriptor| field.cardinality() == Cardinality::Repeated;
        if findings.is_empty() && packs && several(old) != several(new) {
            let message = format!("{} changes between one number and several", new.name());
            findings.push(found("FIELD_NUMERIC_LABEL_CHANGED", place, message));
        }
        findings
    }

    fn value(&mut self, place: &str, old: &FieldDescriptor, new: &FieldDescriptor) -> Findings {
        let changed = |kind| {
            let (was, is) = (kind_text(&old.kind()), kind_text(&new.kind()));
            vec![found(kind, place, format!("{was} cannot be read as {is}"))]
        };
        match (wire(old), wire(new)) {
            (Wire::Map, Wire::Map) => {
                let (Kind::Message(was), Kind::Message(is)) = (old.kind(), new.kind()) else {
                    return Findings::new();
                };
                let keys = (was.map_entry_key_field(), is.map_entry_key_field());
                let values = (was.map_entry_value_field(), is.map_entry_value_field());
                let mut findings = self.value(place, &keys.0, &keys.1);
                findings.extend(self.value(place, &values.0, &values.1));
                findings
            }
            (Wire::Message, Wire::Message) => {
                let (Kind::Message(was), Kind::Message(is)) = (old.kind(), new.kind()) else {
                    return Findings::new();
                };
                if local(&was) != local(&is) {
                    return changed("FIELD_NAMED_TYPE_CHANGED");
                }
                self.message(&was, &is)
            }
            (was, is) if was == is => Findings::new(),
            (Wire::Message | Wire::Map, _) | (_, Wire::Message | Wire::Map) => {
                changed("FIELD_KIND_CHANGED")
            }
            _ => changed("FIELD_SCALAR_KIND_CHANGED"),
        }
    }
}

/// Of the fields of a `oneof` only one can be there, so fields that could be there together must not
/// move into one, and a field that goes takes with it what told that the others are absent.
fn oneofs(
    old: &MessageDescriptor,
    new: &MessageDescriptor,
    was: &BTreeMap<u32, FieldDescriptor>,
    is: &BTreeMap<u32, FieldDescriptor>,
) -> Findings {
    let mut findings = Findings::new();
    for group in new.oneofs().filter(|group| !group.is_synthetic()) {
        let place = format!("{}.{}", local(old), group.name());
        let before: Vec<Option<String>> =
            group.fields().filter_map(|field| was.get(&field.number())).map(oneof).collect();
        let moved = before.iter().filter(|group| group.is_none()).count();
        let groups: BTreeSet<&String> = before.iter().flatten().collect();
        if moved > 1 || groups.len() > 1 {
            let message = format!("fields that could be set together are in {} now", group.name());
            findings.push(found("MULTIPLE_FIELDS_MOVED_TO_ONEOF", &place, message));
        } else if moved == 1 && !groups.is_empty() {
            let message = format!("a field moved into {}, which others were in", group.name());
            findings.push(found("FIELD_MOVED_TO_EXISTING_ONEOF", &place, message));
        }
    }
    for group in old.oneofs().filter(|group| !group.is_synthetic()) {
        if !new.oneofs().any(|other| !other.is_synthetic() && other.name() == group.name()) {
            continue;
        }
        for field in group.fields().filter(|field| !is.contains_key(&field.number())) {
            let place = format!("{}#{}", local(old), field.number());
            let message = format!("{} is gone from {}", field.name(), group.name());
            findings.push(found("ONEOF_FIELD_REMOVED", &place, message));
        }
    }
    findings
}

fn found(kind: &'static str, place: &str, message: String) -> Finding {
    let path = format!("#/{}", place.replace(['.', '#'], "/"));
    Finding { kind, path, place: place.to_owned(), message }
}
