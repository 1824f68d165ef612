//! Names of fields, ready to be written.

use std::borrow::Cow;

/// The name of a field, with its form in JSON at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    name: Cow<'static, str>,
    /// `"name":`
    json: Cow<'static, [u8]>,
}

impl Label {
    /// A label made while the program runs.
    #[must_use]
    pub fn new(name: String) -> Self {
        let mut json = Vec::with_capacity(name.len() + 3);
        crate::json::string(&mut json, &name);
        json.push(b':');
        Self { name: Cow::Owned(name), json: Cow::Owned(json) }
    }

    /// A label that is known when the program is written; `json` is `"name":`.
    pub(crate) const fn fixed(name: &'static str, json: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), json: Cow::Borrowed(json.as_bytes()) }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name as JSON writes it in front of a value.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.json
    }
}

/// A label of a fixed name.
macro_rules! label {
    ($name:literal) => {{
        static LABEL: $crate::connect::Label =
            $crate::connect::Label::fixed($name, concat!("\"", $name, "\":"));
        &LABEL
    }};
}

pub(crate) use label;
