//! Which columns of the listed rows differ.

use super::{Difference, Kind, Verification, merge::Suspect};
use cdc_core::{
    Result,
    verify::{Cells, Comparison, Key, Rows},
};
use std::collections::BTreeMap;

type ByKey = BTreeMap<(i64, Key), Cells>;

impl Verification<'_> {
    /// Adds the names of the differing columns, and the values where they are asked for. A row that was
    /// changed in this moment is listed without them.
    pub(super) async fn named(
        &mut self,
        of: &Comparison,
        suspects: &[Suspect],
        mut listed: Vec<Difference>,
    ) -> Result<Vec<Difference>> {
        let values = self.limits.values;
        let wanted = suspects.iter().zip(&listed);
        let wanted = wanted.filter(|(_, row)| values || row.kind == Kind::Different);
        let keys: Vec<(i64, Key)> =
            wanted.map(|(suspect, _)| (suspect.key_hash, suspect.key.clone())).collect();
        if keys.is_empty() {
            return Ok(listed);
        }
        self.source.begin().await?;
        let ours = by_key(&mut *self.source, of, &keys, values).await?;
        self.source.end().await?;
        self.replica.begin().await?;
        let theirs = by_key(&mut *self.replica, of, &keys, values).await?;
        self.replica.end().await?;
        for (suspect, row) in suspects.iter().zip(&mut listed) {
            let at = (suspect.key_hash, suspect.key.clone());
            let (ours, theirs) = (ours.get(&at), theirs.get(&at));
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                row.columns = differing(of, ours, theirs);
            }
            let named = |cells: &Cells| {
                let names = of.schema.columns.iter().map(|column| column.name.clone());
                Some(names.zip(cells.values.clone()?).collect())
            };
            row.source = ours.and_then(named);
            row.replica = theirs.and_then(named);
        }
        Ok(listed)
    }
}

async fn by_key<R: Rows + ?Sized>(
    rows: &mut R,
    of: &Comparison,
    keys: &[(i64, Key)],
    values: bool,
) -> Result<ByKey> {
    let cells = rows.cells(of, keys, values).await?;
    Ok(cells.into_iter().map(|cells| ((cells.key_hash, cells.key.clone()), cells)).collect())
}

fn differing(of: &Comparison, ours: &Cells, theirs: &Cells) -> Vec<String> {
    let pairs = ours.hashes.iter().zip(&theirs.hashes);
    let columns = of.schema.columns.iter().zip(pairs);
    columns
        .filter(|(_, (ours, theirs))| ours != theirs)
        .map(|(column, _)| column.name.clone())
        .collect()
}
