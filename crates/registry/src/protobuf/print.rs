//! A Protobuf schema as text. Names of types are written in full, so that a schema has one text
//! whether it came as text or as a descriptor.

use super::{
    options::{bracketed, quoted, texts},
    parse::{Schema, kind_text},
};
use prost_reflect::{
    Cardinality, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    ServiceDescriptor,
};
use std::fmt::Write as _;

/// Numbers of fields end here; the end of a range that has none is written as a word.
const NUMBER_MAX: i32 = 536_870_911;

impl Schema {
    /// The text in one layout, in the order in which it was written.
    #[must_use]
    pub fn canonical(&self) -> String {
        Printer { out: String::new(), depth: 0, normal: false }.file(self)
    }

    /// The same with imports, fields and types in order.
    #[must_use]
    pub fn normalized(&self) -> String {
        Printer { out: String::new(), depth: 0, normal: true }.file(self)
    }
}

struct Printer {
    out: String,
    depth: usize,
    normal: bool,
}

impl Printer {
    fn file(mut self, schema: &Schema) -> String {
        let file = &schema.file;
        let proto = file.file_descriptor_proto();
        let syntax = proto.syntax.as_deref().unwrap_or("proto2");
        self.line(&format!("syntax = \"{syntax}\";"));
        if !file.package_name().is_empty() {
            self.line(&format!("package {};", file.package_name()));
        }
        let mut imports: Vec<(String, &str)> = Vec::new();
        let written = |name: &String| Some(name.as_str()) != schema.implied;
        for (index, name) in proto.dependency.iter().enumerate().filter(|(_, name)| written(name)) {
            let listed = |list: &[i32]| list.iter().any(|at| usize::try_from(*at) == Ok(index));
            let manner = if listed(&proto.public_dependency) {
                "public "
            } else if listed(&proto.weak_dependency) {
                "weak "
            } else {
                ""
            };
            imports.push((name.clone(), manner));
        }
        if self.normal {
            imports.sort();
        }
        for (name, manner) in imports {
            self.line(&format!("import {manner}{};", quoted(name.as_bytes())));
        }
        for (name, text) in texts(&file.options()) {
            self.line(&format!("option {name} = {text};"));
        }
        let mut messages: Vec<_> = file.messages().collect();
        let mut enums: Vec<_> = file.enums().collect();
        if self.normal {
            messages.sort_by(|a, b| a.name().cmp(b.name()));
            enums.sort_by(|a, b| a.name().cmp(b.name()));
        }
        messages.iter().for_each(|message| self.message(message));
        enums.iter().for_each(|names| self.names(names));
        file.extensions().for_each(|extension| self.extension(&extension));
        file.services().for_each(|service| self.service(&service));
        self.out
    }

    fn line(&mut self, text: &str) {
        let _written = writeln!(self.out, "{}{text}", "  ".repeat(self.depth));
    }

    fn block(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.depth += 1;
        body(self);
        self.depth -= 1;
        self.line("}");
    }

    fn message(&mut self, message: &MessageDescriptor) {
        self.block(&format!("message {}", message.name()), |this| this.body(message));
    }

    fn body(&mut self, message: &MessageDescriptor) {
        for (name, text) in texts(&message.options()) {
            if name != "map_entry" {
                self.line(&format!("option {name} = {text};"));
            }
        }
        self.reserved(message);
        self.fields(message);
        let groups: Vec<String> = message
            .fields()
            .filter(FieldDescriptor::is_group)
            .filter_map(|field| Some(field.kind().as_message()?.full_name().to_owned()))
            .collect();
        for inner in message.child_messages() {
            if !inner.is_map_entry() && !groups.iter().any(|name| name == inner.full_name()) {
                self.message(&inner);
            }
        }
        message.child_enums().for_each(|names| self.names(&names));
        message.child_extensions().for_each(|extension| self.extension(&extension));
    }

    fn reserved(&mut self, message: &MessageDescriptor) {
        let proto = message.descriptor_proto();
        let mut ranges: Vec<(i32, i32)> =
            message.reserved_ranges().filter_map(|range| to_numbers(&range)).collect();
        let mut names: Vec<&str> = proto.reserved_name.iter().map(String::as_str).collect();
        if self.normal {
            ranges.sort_unstable();
            names.sort_unstable();
        }
        if !ranges.is_empty() {
            let ranges: Vec<String> = ranges.into_iter().map(range_text).collect();
            self.line(&format!("reserved {};", ranges.join(", ")));
        }
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| quoted(name.as_bytes())).collect();
            self.line(&format!("reserved {};", names.join(", ")));
        }
        for range in message.extension_ranges().filter_map(|range| to_numbers(&range)) {
            self.line(&format!("extensions {};", range_text(range)));
        }
    }

    fn fields(&mut self, message: &MessageDescriptor) {
        // The descriptor proto has the order of the text; the descriptor has that of the numbers.
        let mut fields: Vec<FieldDescriptor> = message
            .descriptor_proto()
            .field
            .iter()
            .filter_map(|field| message.get_field_by_name(field.name()))
            .collect();
        if self.normal {
            fields.sort_by_key(FieldDescriptor::number);
        }
        let mut done: Vec<String> = Vec::new();
        for field in &fields {
            let group = field.containing_oneof().filter(|group| !group.is_synthetic());
            let Some(group) = group else {
                self.field(field, false);
                continue;
            };
            if done.iter().any(|name| name == group.name()) {
                continue;
            }
            done.push(group.name().to_owned());
            self.block(&format!("oneof {}", group.name()), |this| {
                for (name, text) in texts(&group.options()) {
                    this.line(&format!("option {name} = {text};"));
                }
                let inside = |field: &&FieldDescriptor| {
                    field.containing_oneof().is_some_and(|other| other.name() == group.name())
                };
                fields.iter().filter(inside).for_each(|field| this.field(field, true));
            });
        }
    }

    fn field(&mut self, field: &FieldDescriptor, in_oneof: bool) {
        let proto = field.field_descriptor_proto();
        let is_proto2 = field.parent_file().syntax() == prost_reflect::Syntax::Proto2;
        let label = match field.cardinality() {
            _ if in_oneof || field.is_map() => "",
            Cardinality::Repeated => "repeated ",
            Cardinality::Required => "required ",
            Cardinality::Optional if is_proto2 || proto.proto3_optional() => "optional ",
            Cardinality::Optional => "",
        };
        let mut options = texts(&field.options());
        let text = |value: &str, kind: &Kind| match kind {
            Kind::String => quoted(value.as_bytes()),
            Kind::Bytes => format!("\"{value}\""),
            _ => value.to_owned(),
        };
        if let Some(value) = &proto.default_value {
            options.insert(0, ("default".to_owned(), text(value, &field.kind())));
        }
        if proto.json_name.as_deref().is_some_and(|name| name != json_name(field.name())) {
            options.push(("json_name".to_owned(), quoted(field.json_name().as_bytes())));
        }
        let options = bracketed(&options);
        let (name, number) = (field.name(), field.number());
        if field.is_group()
            && let Kind::Message(group) = field.kind()
        {
            let head = format!("{label}group {} = {number}{options}", group.name());
            self.block(&head, |this| this.body(&group));
            return;
        }
        self.line(&format!("{label}{} {name} = {number}{options};", type_text(field)));
    }

    fn extension(&mut self, extension: &ExtensionDescriptor) {
        let head = format!("extend .{}", extension.containing_message().full_name());
        let options = bracketed(&texts(&extension.options()));
        let label = match extension.cardinality() {
            Cardinality::Repeated => "repeated ",
            Cardinality::Required => "required ",
            Cardinality::Optional
                if extension.parent_file().syntax() == prost_reflect::Syntax::Proto2 =>
            {
                "optional "
            }
            Cardinality::Optional => "",
        };
        let kind = reference(&extension.kind());
        let (name, number) = (extension.name(), extension.number());
        self.block(&head, |this| {
            this.line(&format!("{label}{kind} {name} = {number}{options};"));
        });
    }

    fn names(&mut self, names: &EnumDescriptor) {
        self.block(&format!("enum {}", names.name()), |this| {
            for (name, text) in texts(&names.options()) {
                this.line(&format!("option {name} = {text};"));
            }
            let ranges: Vec<String> = names
                .reserved_ranges()
                .map(|range| match (*range.start(), *range.end()) {
                    (start, end) if start == end => start.to_string(),
                    (start, i32::MAX) => format!("{start} to max"),
                    (start, end) => format!("{start} to {end}"),
                })
                .collect();
            if !ranges.is_empty() {
                this.line(&format!("reserved {};", ranges.join(", ")));
            }
            let reserved: Vec<String> =
                names.reserved_names().map(|name| quoted(name.as_bytes())).collect();
            if !reserved.is_empty() {
                this.line(&format!("reserved {};", reserved.join(", ")));
            }
            let mut values: Vec<_> = names
                .enum_descriptor_proto()
                .value
                .iter()
                .filter_map(|value| names.get_value_by_name(value.name()))
                .collect();
            if this.normal {
                // The first value of proto3 must be zero, so negative ones come last.
                values.sort_by_key(|value| {
                    (value.number() < 0, value.number(), value.name().to_owned())
                });
            }
            for value in values {
                let options = bracketed(&texts(&value.options()));
                this.line(&format!("{} = {}{options};", value.name(), value.number()));
            }
        });
    }

    fn service(&mut self, service: &ServiceDescriptor) {
        self.block(&format!("service {}", service.name()), |this| {
            for (name, text) in texts(&service.options()) {
                this.line(&format!("option {name} = {text};"));
            }
            for method in service.methods() {
                let stream = |flag: bool| if flag { "stream " } else { "" };
                let head = format!(
                    "rpc {} ({}.{}) returns ({}.{})",
                    method.name(),
                    stream(method.is_client_streaming()),
                    method.input().full_name(),
                    stream(method.is_server_streaming()),
                    method.output().full_name()
                );
                let options = texts(&method.options());
                if options.is_empty() {
                    this.line(&format!("{head};"));
                    continue;
                }
                this.block(&head, |this| {
                    for (name, text) in options {
                        this.line(&format!("option {name} = {text};"));
                    }
                });
            }
        });
    }
}

fn type_text(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            format!("map<{}, {}>", reference(&key.kind()), reference(&value.kind()))
        }
        kind => reference(&kind),
    }
}

/// A type as a field names it.
fn reference(kind: &Kind) -> String {
    match kind {
        Kind::Message(_) | Kind::Enum(_) => format!(".{}", kind_text(kind)),
        kind => kind_text(kind),
    }
}

/// First and last number of a range.
fn to_numbers(range: &std::ops::Range<u32>) -> Option<(i32, i32)> {
    let first = i32::try_from(range.start).ok()?;
    let end = i32::try_from(range.end).ok()?;
    Some((first, end.saturating_sub(1)))
}

fn range_text((first, last): (i32, i32)) -> String {
    match last {
        last if last == first => first.to_string(),
        NUMBER_MAX.. => format!("{first} to max"),
        last => format!("{first} to {last}"),
    }
}

/// The name that JSON uses where none is given: `a_name` is `aName`.
fn json_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        if letter == '_' {
            upper = true;
        } else if upper {
            out.push(letter.to_ascii_uppercase());
            upper = false;
        } else {
            out.push(letter);
        }
    }
    out
}
