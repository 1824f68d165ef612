//! `${VAR}` and `${VAR:-default}` in scalars.
//!
//! Values are put in after the file has been parsed, so that no value can change its structure.

use std::borrow::Cow;

/// Where variables come from.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Why a scalar could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The variable is not set and has no default.
    Missing(String),
    /// `${` without its `}`.
    Unterminated,
    /// Neither `${VAR}` nor `${VAR:-default}`.
    Malformed(String),
    /// Defaults within defaults within defaults …
    TooDeep,
    /// The result is larger than a configuration value may be.
    TooLarge,
}

/// Defaults may hold variables, but not without end.
const DEPTH_MAX: usize = 8;
/// No value of a configuration is larger.
const VALUE_BYTES_MAX: usize = 1 << 20;

/// Puts variables into `text`; `$${` stands for `${`. Borrows when there is nothing to do.
pub(crate) fn interpolate<'t>(
    text: &'t str,
    env: &Environment<'_>,
) -> Result<Cow<'t, str>, Problem> {
    if !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    expand(text, env, DEPTH_MAX, &mut out)?;
    Ok(Cow::Owned(out))
}

fn expand(
    mut text: &str,
    env: &Environment<'_>,
    depth: usize,
    out: &mut String,
) -> Result<(), Problem> {
    if depth == 0 {
        return Err(Problem::TooDeep);
    }
    while let Some((before, after)) = text.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            text = after;
            continue;
        }
        out.push_str(before);
        let (inner, rest) = split_at_end(after).ok_or(Problem::Unterminated)?;
        variable(inner, env, depth, out)?;
        if out.len() > VALUE_BYTES_MAX {
            return Err(Problem::TooLarge);
        }
        text = rest;
    }
    out.push_str(text);
    Ok(())
}

/// Splits behind the `}` that closes an already opened `${`, minding nested ones.
fn split_at_end(text: &str) -> Option<(&str, &str)> {
    let mut open = 1_usize;
    let mut previous = ' ';
    for (index, c) in text.char_indices() {
        match c {
            '{' if previous == '$' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some((text.get(..index)?, text.get(index + 1..)?));
        }
        previous = c;
    }
    None
}

fn variable(
    inner: &str,
    env: &Environment<'_>,
    depth: usize,
    out: &mut String,
) -> Result<(), Problem> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Problem::Malformed(name.to_owned()));
    }
    match (env(name), default) {
        (Some(value), None) => out.push_str(&value),
        (Some(value), Some(_)) if !value.is_empty() => out.push_str(&value),
        (_, Some(default)) => expand(default, env, depth - 1, out)?,
        (None, None) => return Err(Problem::Missing(name.to_owned())),
    }
    Ok(())
}

/// Characters that would mean something to YAML inside `${…}`, and what stands for them while it
/// looks: private-use characters, one for one, so that columns stay true.
const SHIELDS: [(char, char); 7] = [
    ('{', '\u{e0f0}'),
    ('}', '\u{e0f1}'),
    ('[', '\u{e0f2}'),
    (']', '\u{e0f3}'),
    (',', '\u{e0f4}'),
    (':', '\u{e0f5}'),
    ('#', '\u{e0f6}'),
];

/// Hides `${…}` from the YAML parser, so that `{port: ${PORT}}` means what it seems to mean.
pub(crate) fn shield(text: &str) -> Cow<'_, str> {
    let taken = |c: char| SHIELDS.iter().any(|(_, shield)| *shield == c);
    if !text.contains("${") || text.contains(taken) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        out.push('$');
        let line = after.split('\n').next().unwrap_or(after);
        let end = split_at_end(line).map_or(0, |(inner, _)| inner.len() + 1);
        let (inside, behind) = after.split_at_checked(end).unwrap_or(("", after));
        let opening = if end == 0 { '{' } else { shielded('{') };
        out.push(opening);
        out.extend(inside.chars().map(shielded));
        rest = behind;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn shielded(c: char) -> char {
    SHIELDS.iter().find(|(plain, _)| *plain == c).map_or(c, |(_, shield)| *shield)
}

/// The reverse of [`shield`].
pub(crate) fn unshield(text: &str) -> Cow<'_, str> {
    let plain = |c: char| SHIELDS.iter().find(|(_, shield)| *shield == c).map(|(plain, _)| *plain);
    if !text.contains(|c| plain(c).is_some()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| plain(c).unwrap_or(c)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("x".to_owned()),
            "EMPTY" => Some(String::new()),
            "EVIL" => Some("a: ${A}\n- b".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn resolves_as_a_shell_would() {
        for (text, expected) in [
            ("plain $ {A}", Ok("plain $ {A}")),
            ("<${A}>${A}", Ok("<x>x")),
            ("${B:-d e}", Ok("d e")),
            ("${B:-}", Ok("")),
            ("${EMPTY}|${EMPTY:-d}", Ok("|d")),
            ("${B:-${A}}", Ok("x")),
            ("${B:-{}}", Ok("{}")),
            ("$${A} $$${A}", Ok("${A} $${A}")),
            ("${EVIL}", Ok("a: ${A}\n- b")),
            ("${B}", Err(Problem::Missing("B".into()))),
            ("${A", Err(Problem::Unterminated)),
            ("${A-b}", Err(Problem::Malformed("A-b".into()))),
            ("${}", Err(Problem::Malformed(String::new()))),
            ("${1A}", Err(Problem::Malformed("1A".into()))),
        ] {
            let result = interpolate(text, &env);
            assert_eq!(result.as_deref(), expected.as_ref().map(|e| *e), "{text}");
        }
    }

    #[test]
    fn shields_hide_variables_from_yaml_and_nothing_else() {
        for text in ["{a: ${B:-c: #d}}", "${A", "a: b # {}", "${A:-${B}}, ${C}", "${\n}", "$${A}"] {
            let hidden = shield(text);
            assert_eq!(hidden.chars().count(), text.chars().count());
            assert_eq!(unshield(&hidden), text);
        }
        assert!(shield("{a: ${B:-[c]}}").ends_with('}'));
        assert_eq!(shield("x ${A"), "x ${A");
    }

    #[test]
    fn nesting_has_a_limit() {
        let text = format!("{}x{}", "${B:-".repeat(50), "}".repeat(50));
        assert_eq!(interpolate(&text, &env), Err(Problem::TooDeep));
    }
}
