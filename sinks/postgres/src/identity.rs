//! Tables that change their names, and names that change their tables.

use crate::{
    sql::{ident, qualified},
    state::Prepared,
    table::Preparer,
};
use cdc_core::{Result, TableId, TableSchema};

/// Longest name that PostgreSQL keeps.
const NAME_BYTES_MAX: usize = 63;

impl Preparer<'_> {
    /// What the replica of this source table was last prepared for, under whatever name.
    ///
    /// A replica whose name now belongs to another source table steps aside: nobody tells whether its
    /// own was dropped or renamed, and if it was renamed its rows are still needed.
    pub(crate) async fn find_known(
        &self,
        new: &TableSchema,
        target: &TableId,
    ) -> Result<Option<Prepared>> {
        let known = self.state.load_table(self.connection, &new.table).await?;
        let Some(number) = new.number else { return Ok(known) };
        match known.as_ref().and_then(|known| known.schema.number.map(|other| (known, other))) {
            Some((_, other)) if other == number => return Ok(known),
            Some((known, other)) => {
                let aside = |name: &TableId| {
                    TableId::new(name.namespace.clone(), name_with_number(&name.name, other))
                };
                tracing::warn!(
                    table = %new.table, kept_as = %aside(&known.target),
                    "another table has this name in the source; the replica of the one before is kept under another name"
                );
                self.rename(known, &aside(&new.table), &aside(&known.target)).await?;
            }
            // A replica from before numbers were known.
            None if known.is_some() => return Ok(known),
            None => {}
        }
        let Some(mut before) = self.state.find_table(self.connection, number).await? else {
            return Ok(None);
        };
        if crate::catalog::table(self.connection, target).await?.is_some() {
            tracing::warn!(
                table = %new.table, before = %before.schema.table, target = %target,
                "the source renamed a table, and the target has a table of the new name; that one is used"
            );
            return Ok(None);
        }
        tracing::info!(table = %new.table, before = %before.schema.table, "the source renamed a table");
        self.create_schema(&target.namespace).await?;
        self.rename(&before, &new.table, target).await?;
        before.target = target.clone();
        before.schema.table = new.table.clone();
        Ok(Some(before))
    }

    /// Gives a replica another name, here and in what is remembered of it.
    async fn rename(&self, known: &Prepared, source: &TableId, target: &TableId) -> Result<()> {
        let from = &known.target;
        if crate::catalog::table(self.connection, from).await?.is_some() {
            for statement in renaming(from, target) {
                self.run(&format!("renaming table {from}"), &statement).await?;
            }
        }
        self.state.rename_table(self.connection, &known.schema.table, source, target).await
    }
}

fn renaming(from: &TableId, to: &TableId) -> Vec<String> {
    let mut statements = Vec::new();
    let mut at = from.clone();
    if from.namespace != to.namespace {
        let schema = ident(&to.namespace);
        statements.push(format!("ALTER TABLE {} SET SCHEMA {schema}", qualified(&at)));
        at.namespace.clone_from(&to.namespace);
    }
    if from.name != to.name {
        let name = ident(&to.name);
        statements.push(format!("ALTER TABLE {} RENAME TO {name}", qualified(&at)));
    }
    statements
}

/// `orders_16384`, within the length of a name.
fn name_with_number(name: &str, number: u32) -> String {
    let suffix = format!("_{number}");
    let room = NAME_BYTES_MAX.saturating_sub(suffix.len());
    let mut end = name.len().min(room);
    while !name.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    name.get(..end).unwrap_or_default().to_owned() + &suffix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_number_fit_into_a_name() {
        assert_eq!(name_with_number("orders", 16_384), "orders_16384");
        let long = name_with_number(&"ü".repeat(40), u32::MAX);
        assert_eq!(long, "ü".repeat(26) + "_4294967295");
        assert!(long.len() <= NAME_BYTES_MAX);
    }

    #[test]
    fn a_table_moves_before_it_is_renamed() {
        let statements = renaming(&TableId::new("a", "x"), &TableId::new("b", "y"));
        let expected =
            [r#"ALTER TABLE "a"."x" SET SCHEMA "b""#, r#"ALTER TABLE "b"."x" RENAME TO "y""#];
        assert_eq!(statements, expected);
        assert!(renaming(&TableId::new("a", "x"), &TableId::new("a", "x")).is_empty());
    }
}
