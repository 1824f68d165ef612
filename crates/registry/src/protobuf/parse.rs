//! The text of a Protobuf schema, read and checked.

use super::known;
use crate::schema::{Invalid, Referenced};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost_reflect::{
    FileDescriptor, Kind, MessageDescriptor, prost::Message as _, prost_types::FileDescriptorProto,
};
use protox::{
    Compiler, Error,
    file::{File, FileResolver, GoogleFileResolver},
};
use std::collections::BTreeMap;

/// The name of a file whose text has none.
const NAME: &str = "default.proto";

/// A Protobuf file and those that it imports.
#[derive(Clone, Debug)]
pub struct Schema {
    pub(super) file: FileDescriptor,
    /// An import that the text leaves out, as those that Confluent's converter writes do.
    pub(super) implied: Option<&'static str>,
}

impl Schema {
    /// Reads a text, or the Base64 form of a file descriptor, which some clients send instead.
    /// Imports are looked for among the schemas that it refers to.
    pub fn parse(text: &str, referenced: &[Referenced]) -> Result<Self, Invalid> {
        let mut files = BTreeMap::new();
        for other in referenced {
            files.insert(other.name.clone(), source(&other.text));
        }
        let root = source(text);
        let implied = match &root {
            Source::Text(text) => known::implied(text),
            Source::Descriptor { .. } => None,
        };
        let name = match &root {
            Source::Text(_) => NAME.to_owned(),
            Source::Descriptor { name, .. } => name.clone().unwrap_or_else(|| NAME.to_owned()),
        };
        files.insert(name.clone(), root);
        let mut compiler = Compiler::with_file_resolver(Files(files));
        let opened = compiler.open_file(&name).map(drop);
        // Only the first line: the others draw the text.
        let told = |error: &dyn std::fmt::Display| {
            let text = error.to_string();
            Invalid::new(text.lines().next().unwrap_or_default().to_owned())
        };
        opened.map_err(|error| told(&error))?;
        let pool = compiler.descriptor_pool();
        let file = pool.get_file_by_name(&name).ok_or_else(|| Invalid::new("there is no file"))?;
        if file.messages().len() == 0 && file.enums().len() == 0 && file.extensions().len() == 0 {
            return Err(Invalid::new("the file defines nothing"));
        }
        Ok(Self { file, implied })
    }

    /// The Base64 form of its file descriptor.
    #[must_use]
    pub fn serialized(&self) -> String {
        BASE64_STANDARD.encode(self.file.encode_to_vec())
    }

    /// Every field of every message with its number and type.
    #[must_use]
    pub fn listing(&self) -> BTreeMap<String, String> {
        let mut listing = BTreeMap::new();
        listing.insert("package".to_owned(), self.file.package_name().to_owned());
        for message in self.file.messages() {
            list(&message, &mut listing);
        }
        for names in self.file.enums() {
            listing.insert(names.full_name().to_owned(), enum_text(&names));
        }
        listing
    }
}

/// The name of a message without its package.
pub(super) fn local(message: &MessageDescriptor) -> String {
    let (full, package) = (message.full_name(), message.package_name());
    let local = full.strip_prefix(package).map(|rest| rest.trim_start_matches('.'));
    local.filter(|_| !package.is_empty()).unwrap_or(full).to_owned()
}

fn list(message: &MessageDescriptor, listing: &mut BTreeMap<String, String>) {
    listing.insert(local(message), "message".to_owned());
    for field in message.fields() {
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        let oneof = oneof.map(|oneof| format!(" in oneof {}", oneof.name())).unwrap_or_default();
        let text = format!("{} {}{oneof}", type_text(&field), field.name());
        listing.insert(format!("{}#{}", local(message), field.number()), text);
    }
    for inner in message.child_messages().filter(|inner| !inner.is_map_entry()) {
        list(&inner, listing);
    }
    for names in message.child_enums() {
        listing.insert(names.full_name().to_owned(), enum_text(&names));
    }
}

fn enum_text(names: &prost_reflect::EnumDescriptor) -> String {
    let values = names.values().map(|value| format!("{}={}", value.name(), value.number()));
    format!("enum {}", values.collect::<Vec<_>>().join(" "))
}

fn type_text(field: &prost_reflect::FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let kind = |field: prost_reflect::FieldDescriptor| kind_text(&field.kind());
            let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            return format!("map<{}, {}>", kind(key), kind(value));
        }
        kind => kind_text(&kind),
    };
    match field.cardinality() {
        prost_reflect::Cardinality::Repeated => format!("repeated {kind}"),
        prost_reflect::Cardinality::Required => format!("required {kind}"),
        prost_reflect::Cardinality::Optional => kind,
    }
}

/// The type of a single value.
pub(super) fn kind_text(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(names) => names.full_name().to_owned(),
        Kind::Double => "double".to_owned(),
        Kind::Float => "float".to_owned(),
        Kind::Int32 => "int32".to_owned(),
        Kind::Int64 => "int64".to_owned(),
        Kind::Uint32 => "uint32".to_owned(),
        Kind::Uint64 => "uint64".to_owned(),
        Kind::Sint32 => "sint32".to_owned(),
        Kind::Sint64 => "sint64".to_owned(),
        Kind::Fixed32 => "fixed32".to_owned(),
        Kind::Fixed64 => "fixed64".to_owned(),
        Kind::Sfixed32 => "sfixed32".to_owned(),
        Kind::Sfixed64 => "sfixed64".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
    }
}

enum Source {
    Text(String),
    /// Kept as bytes: options that other files add would be lost in the decoded form.
    Descriptor {
        name: Option<String>,
        bytes: Vec<u8>,
    },
}

fn source(text: &str) -> Source {
    let text = text.trim();
    let bytes = BASE64_STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty());
    let decoded = bytes.and_then(|bytes| {
        let file = FileDescriptorProto::decode(bytes.as_slice()).ok()?;
        Some(Source::Descriptor { name: file.name, bytes })
    });
    decoded.unwrap_or_else(|| Source::Text(text.to_owned()))
}

struct Files(BTreeMap<String, Source>);

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        match self.0.get(name) {
            Some(Source::Text(text)) => {
                let file = File::from_source(name, text)?;
                let Some(implied) = known::implied(text) else { return Ok(file) };
                let mut proto = file.file_descriptor_proto().clone();
                proto.dependency.push(implied.to_owned());
                Ok(File::from_file_descriptor_proto(proto))
            }
            Some(Source::Descriptor { bytes, .. }) => {
                // A field that comes twice counts as it came last, so this names the file anew.
                let named =
                    FileDescriptorProto { name: Some(name.to_owned()), ..Default::default() };
                let bytes = [bytes.as_slice(), &named.encode_to_vec()].concat();
                File::decode_file_descriptor_proto(bytes.as_slice()).map_err(Error::new)
            }
            None => match known::text(name) {
                Some(text) => File::from_source(name, text),
                None => GoogleFileResolver::new().open_file(name),
            },
        }
    }
}
