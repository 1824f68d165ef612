//! Orders about snapshots, in the server's own log.
//!
//! An order is a message of `pg_logical_emit_message`: the server keeps it until the stream has passed
//! it, so it is carried out once and at one place, whether the pipeline runs when it is given or not.
//! Everybody who may connect may write messages, and a condition is SQL that runs as this
//! pipeline's role. So an order carries a code that only those can make who know the pipeline's state.

use crate::quote;
use cdc_core::TableId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Prefix of the messages that hold orders.
pub(crate) const PREFIX: &str = "cdc.snapshot";

/// What is to be done about snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Read these tables once more, or those of their rows that meet a condition.
    Begin { tables: Vec<TableId>, condition: Option<String> },
    /// Read the rows under these keys once more, and tell which are not there.
    Rows { table: TableId, keys: Vec<Vec<String>> },
    /// Destinations are equal to the source.
    Compared,
    /// Read no rows.
    Pause,
    /// Go on reading.
    Resume,
    /// Give up what was ordered.
    Cancel,
}

/// Without conditions and keys, which hold values of rows.
impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Begin { tables, condition } => {
                let part = if condition.is_some() { "a part of " } else { "" };
                let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
                write!(f, "read {part}{} once more", tables.join(", "))
            }
            Self::Rows { table, keys } => {
                write!(f, "read {} rows of {table} once more", keys.len())
            }
            Self::Compared => f.write_str("destinations are equal to the source"),
            Self::Pause => f.write_str("read no rows"),
            Self::Resume => f.write_str("go on reading"),
            Self::Cancel => f.write_str("give up what was ordered"),
        }
    }
}

/// An order with what tells it from others of the same text.
#[derive(Debug, Serialize, Deserialize)]
struct Letter {
    slot: String,
    nonce: u64,
    order: Order,
}

/// The text of an order for the pipeline that reads `slot`.
pub(crate) fn seal(key: &str, slot: &str, order: &Order) -> String {
    let letter = Letter { slot: slot.to_owned(), nonce: rand::random(), order: order.clone() };
    let letter = serde_json::to_string(&letter).unwrap_or_default();
    format!("{} {letter}", code(key, &letter))
}

/// The order in a message, when it is one of and for this pipeline.
pub(crate) fn open(key: &str, slot: &str, content: &[u8]) -> Option<Order> {
    let (claimed, letter) = str::from_utf8(content).ok()?.split_once(' ')?;
    let claimed = bytes_of(claimed)?;
    mac(key, letter)?.verify_slice(&claimed).ok()?;
    let letter: Letter = serde_json::from_str(letter).ok()?;
    (letter.slot == slot && !key.is_empty()).then_some(letter.order)
}

/// A new key.
pub(crate) fn new_key() -> String {
    hex(&rand::random::<[u8; 32]>())
}

fn mac(key: &str, letter: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(letter.as_bytes());
    Some(mac)
}

fn code(key: &str, letter: &str) -> String {
    mac(key, letter).map(|mac| hex(&mac.finalize().into_bytes())).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The statement that puts an order into the log.
pub(crate) fn emit(content: &str) -> String {
    let (prefix, content) = (quote::literal(PREFIX), quote::literal(content));
    format!("SELECT pg_logical_emit_message(true, {prefix}, {content})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order() -> Order {
        let tables = vec![TableId::new("public", "odd 'name\"")];
        Order::Begin { tables, condition: Some("note = 'it''s'".to_owned()) }
    }

    #[test]
    fn an_order_is_opened_by_its_own_pipeline_only() {
        let key = new_key();
        let sealed = seal(&key, "slot", &order());
        assert_eq!(open(&key, "slot", sealed.as_bytes()), Some(order()));
        assert_eq!(open(&key, "other", sealed.as_bytes()), None);
        assert_eq!(open(&new_key(), "slot", sealed.as_bytes()), None);
        assert_eq!(open(&key, "slot", sealed.replace("note", "name").as_bytes()), None);
        assert_ne!(seal(&key, "slot", &Order::Pause), seal(&key, "slot", &Order::Pause));
        assert_eq!(open("", "slot", seal("", "slot", &Order::Pause).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn any_message_is_refused_without_the_key(content: Vec<u8>) {
            prop_assert_eq!(open("key", "slot", &content), None);
        }
    }
}
