//! Sizes and durations as people write them: `64 MiB`, `1.5h`.

/// What the number of a key counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unit {
    /// Bytes.
    Bytes,
    /// A span of time; the number of seconds in one.
    Time {
        /// Seconds in one unit of the key.
        seconds: f64,
    },
}

impl Unit {
    /// The unit that a key's name tells: `…_bytes`, `…_seconds`, `…_hours` and so on.
    #[must_use]
    pub(crate) fn of_key(key: &str) -> Option<Self> {
        const SUFFIXES: [(&str, Unit); 7] = [
            ("_bytes", Unit::Bytes),
            ("memory_budget", Unit::Bytes),
            ("_ms", Unit::Time { seconds: 0.001 }),
            ("_seconds", Unit::Time { seconds: 1.0 }),
            ("_minutes", Unit::Time { seconds: 60.0 }),
            ("_hours", Unit::Time { seconds: 3_600.0 }),
            ("_days", Unit::Time { seconds: 86_400.0 }),
        ];
        SUFFIXES.iter().find(|(suffix, _)| key.ends_with(suffix)).map(|(_, unit)| *unit)
    }

    /// Reads `10 GiB` or `90 s` as a number of this unit.
    #[must_use]
    pub(crate) fn parse(self, text: &str) -> Option<f64> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = text.get(..split)?.parse().ok()?;
        let name = text.get(split..)?.trim();
        let value = match self {
            Self::Bytes => number * bytes_in(name)?,
            Self::Time { seconds } => number * seconds_in(name)? / seconds,
        };
        value.is_finite().then_some(value)
    }

    /// An example of the notation, for errors.
    #[must_use]
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Bytes => "a size like 64 MiB",
            Self::Time { .. } => "a duration like 30 s or 5 min",
        }
    }
}

fn bytes_in(name: &str) -> Option<f64> {
    let exact = match name.to_ascii_lowercase().as_str() {
        "b" | "byte" | "bytes" => 1_u64,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return None,
    };
    #[expect(clippy::cast_precision_loss, reason = "each of these is exact as f64")]
    let exact = exact as f64;
    Some(exact)
}

fn seconds_in(name: &str) -> Option<f64> {
    Some(match name.to_ascii_lowercase().as_str() {
        "ms" => 0.001,
        "s" | "sec" | "second" | "seconds" => 1.0,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

/// Bytes in the largest unit that keeps one decimal readable: `1.5 GiB`.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(size, _)| bytes >= *size) {
        Some((size, name)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*size);
            if tenths.is_multiple_of(10) {
                format!("{} {name}", tenths / 10)
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            }
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let bytes = Unit::Bytes;
        let seconds = Unit::of_key("timeout_seconds").expect("a time");
        let hours = Unit::of_key("retention_hours").expect("a time");
        for (unit, text, expected) in [
            (bytes, "64 MiB", Some(67_108_864.0)),
            (bytes, "64m", Some(67_108_864.0)),
            (bytes, "1.5GB", Some(1_500_000_000.0)),
            (bytes, "64 parsecs", None),
            (bytes, "MiB", None),
            (bytes, "-1 MiB", None),
            (bytes, "1.2.3 MiB", None),
            (seconds, "5 min", Some(300.0)),
            (seconds, "250ms", Some(0.25)),
            (hours, "7 days", Some(168.0)),
            (hours, "7 MiB", None),
        ] {
            assert_eq!(unit.parse(text), expected, "{text}");
        }
        assert_eq!(Unit::of_key("port"), None);
    }

    #[test]
    fn shows_bytes() {
        assert_eq!(show_bytes(512), "512 B");
        assert_eq!(show_bytes(10 << 30), "10 GiB");
        assert_eq!(show_bytes((3 << 30) / 2), "1.5 GiB");
        assert_eq!(show_bytes(u64::MAX), "16777215.9 TiB");
    }
}
