//! The settings that decide how the server prints values.

/// Settings of every session, so that a value has one text form wherever it comes from.
///
/// `lc_monetary` is missing on purpose: it decides how many decimals `money` has, so the database's
/// own setting must stay.
pub const SESSION_SETTINGS: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("xmlbinary", "base64"),
    // Names outside of `pg_catalog` print with their schema.
    ("search_path", ""),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    // The catalog queries are quick, but look expensive enough to be compiled first, for tens of
    // milliseconds each time that a table is announced.
    ("jit", "off"),
];
