//! What the server's catalog says about the captured tables.
//!
//! ```text
//!   patterns ─▶ Selection ─┐
//!   catalog queries ───────┴▶ Catalog { tables, types } ─▶ TableSchema + Decoder
//!   relation message ─────────▶ resolve ────────────────────▶ the same
//! ```

mod catalog;
mod column_default;
mod data_type;
mod failure;
mod load;
mod numbering;
mod parts;
mod publication;
mod relation;
mod selection;
mod session;
mod table_schema;
mod type_catalog;

pub use catalog::{Catalog, CatalogColumn, CatalogTable, Generated, LeftOut, ReplicaIdentity};
pub use load::load;
pub use parts::Parts;
pub use relation::{Resolved, resolve_from_catalog, resolve_relation};
pub use selection::Selection;
pub(crate) use selection::glob;
pub use session::SESSION_SETTINGS;
pub use table_schema::{binary_decodable, table_schema};
pub use type_catalog::{CatalogType, CompositeField, TypeCatalog, TypeKind};

pub(crate) use failure::within;
pub(crate) use load::{column_numbers, load_table};
pub(crate) use parts::Part;
pub(crate) use publication::{Published, published};
pub(crate) use table_schema::decoder;
