//! Orders about snapshots, at their place in the stream.

use super::{
    fill::Filling,
    follow::{Follower, Step},
};
use crate::{
    backfill::{Backfill, Progress},
    order::{self, Order},
    protocol::Commit,
};
use cdc_core::Result;

impl Follower<'_> {
    /// Notes an order that is in the transaction at hand.
    pub(super) fn note_order(&mut self, content: &[u8]) {
        match order::open(&self.resume.order_key, &self.config.slot_name, content) {
            Some(order) => self.orders.push(order),
            None => tracing::warn!(
                "an order about snapshots was ignored: it is not from `cdc snapshot` for this pipeline"
            ),
        }
    }

    /// Carries out the orders of a transaction that ends `at`.
    pub(super) async fn carry_out(&mut self, at: Commit) -> Result<Step> {
        if let step @ Step::Break(_) = self.hand_over().await? {
            return Ok(step);
        }
        let orders = std::mem::take(&mut self.orders);
        for order in &orders {
            match order {
                Order::Pause => self.resume.paused = true,
                Order::Resume => self.resume.paused = false,
                Order::Compared => self.resume.comparison_due = false,
                Order::Begin { .. } | Order::Rows { .. } | Order::Cancel => {}
            }
        }
        let paused = self.resume.paused;
        self.reporter.paused(paused);
        let progress = self.backfill.as_ref().map(Backfill::progress);
        let progress = progress.unwrap_or_else(Progress::nothing);
        // Ended first: two copies must not read at once. What was under way is read again.
        *self.backfill = None;
        *self.backfill = self.copies.carry_out(orders, progress, paused, self.reporter).await?;
        self.reporter.copy_trouble(None);
        self.reporter.streams(self.backfill.is_some());
        self.reporter.comparison_due(self.resume.comparison_due && self.backfill.is_none());
        self.send_filling(&mut Filling::new(at), true).await
    }
}
