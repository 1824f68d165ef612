//! The tree of a schema.

/// What a value is, and what Connect says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// What it is made of.
    pub kind: Kind,
    /// May it be null?
    pub optional: bool,
    /// The record's name, or the semantic type: `io.debezium.time.Date`.
    pub name: Option<String>,
    /// Version of what `name` says.
    pub version: Option<i32>,
    /// Parameters of the semantic type, in the order in which they are printed.
    pub parameters: Vec<(String, String)>,
    /// What a reader takes where nothing is set.
    pub default: Option<Literal>,
    /// A sentence for people.
    pub doc: Option<String>,
}

/// What a value is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// True or false.
    Boolean,
    /// 8 bits with a sign.
    Int8,
    /// 16 bits with a sign.
    Int16,
    /// 32 bits with a sign.
    Int32,
    /// 64 bits with a sign.
    Int64,
    /// A single-precision number.
    Float32,
    /// A double-precision number.
    Float64,
    /// UTF-8 text.
    String,
    /// Octets.
    Bytes,
    /// Any number of values of one schema.
    Array(Box<Schema>),
    /// Keys of the first schema, each with a value of the second.
    Map(Box<Schema>, Box<Schema>),
    /// Named values, each of its own schema, in this order.
    Struct(Vec<Field>),
}

/// One value of a struct.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name, adjusted already.
    pub name: String,
    /// Its schema.
    pub schema: Schema,
}

/// A value that stands in a schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// True or false.
    Boolean(bool),
    /// An integer of any width.
    Integer(i64),
    /// A number of either precision.
    Float(f64),
    /// UTF-8 text.
    Text(String),
    /// Octets.
    Bytes(Vec<u8>),
    /// An array without items.
    EmptyArray,
}

impl Schema {
    /// A required value without a name.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            optional: false,
            name: None,
            version: None,
            parameters: Vec::new(),
            default: None,
            doc: None,
        }
    }

    /// A struct of these fields.
    #[must_use]
    pub fn of_fields(fields: Vec<Field>) -> Self {
        Self::new(Kind::Struct(fields))
    }

    /// An array of these items.
    #[must_use]
    pub fn array_of(items: Self) -> Self {
        Self::new(Kind::Array(Box::new(items)))
    }

    /// Says that it may be null.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Says whether it may be null.
    #[must_use]
    pub fn with_optional(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }

    /// Gives it a name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Gives it a version.
    #[must_use]
    pub fn version(mut self, version: i32) -> Self {
        self.version = Some(version);
        self
    }

    /// Adds a parameter.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: impl Into<String>) -> Self {
        self.parameters.push((name.to_owned(), value.into()));
        self
    }

    /// Gives it a default.
    #[must_use]
    pub fn default_value(mut self, default: Literal) -> Self {
        self.default = Some(default);
        self
    }

    /// Gives it a sentence for people.
    #[must_use]
    pub fn doc(mut self, doc: &str) -> Self {
        self.doc = Some(doc.to_owned());
        self
    }

    /// The fields of a struct; none of anything else.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match &self.kind {
            Kind::Struct(fields) => fields,
            _ => &[],
        }
    }

    /// The field of a struct that is called so.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.fields().iter().find(|field| field.name == name).map(|field| &field.schema)
    }

    /// Is this the semantic type of this name?
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

impl Field {
    /// A value of a struct.
    #[must_use]
    pub fn new(name: impl Into<String>, schema: Schema) -> Self {
        Self { name: name.into(), schema }
    }
}
