//! Keys and values, ready to be told to the writer of any format.

use super::envelope::{Envelopes, Part, Telling, write_key};
use super::notice::Notice;
use super::plan::Plan;
use crate::connect::Writer;
use cdc_core::{Change, Result};

/// Something that can be told to the writer of any format.
pub(super) trait Tell {
    fn tell<W: Writer>(self, out: &mut W) -> Result<()>;
}

/// The key of a part of a change.
pub(super) struct KeyOf<'a> {
    pub(super) plan: &'a Plan,
    pub(super) change: &'a Change,
    pub(super) part: Part,
}

impl Tell for KeyOf<'_> {
    fn tell<W: Writer>(self, out: &mut W) -> Result<()> {
        write_key(out, self.plan, self.change, self.part)
    }
}

/// The value of a part of a change.
pub(super) struct ValueOf<'a> {
    pub(super) envelopes: &'a Envelopes,
    pub(super) plan: &'a Plan,
    pub(super) change: &'a Change,
    pub(super) telling: Telling<'a>,
}

impl Tell for ValueOf<'_> {
    fn tell<W: Writer>(self, out: &mut W) -> Result<()> {
        self.envelopes.write_planned(self.plan, self.change, self.telling, out)
    }
}

impl Tell for &Notice {
    fn tell<W: Writer>(self, out: &mut W) -> Result<()> {
        self.write(out);
        Ok(())
    }
}
