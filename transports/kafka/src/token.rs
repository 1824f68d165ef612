//! Bearer tokens for a login: from a file, from Google Cloud, or signed for Amazon MSK.

pub mod aws;
pub mod gcp;
mod metadata;

use crate::{
    config::{Auth, Config},
    error,
};
use cdc_core::{Result, clock::Clock as _, clock::SystemClock};
use rdkafka::client::OAuthToken;
use std::{path::PathBuf, time::Duration};

/// How long a token from a file is used when it does not say when it ends.
const FILE_LIFE: Duration = Duration::from_secs(300);

/// Where tokens come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Google,
    Amazon { region: String },
}

impl Source {
    /// What the configuration asks for; `None` where it asks for no tokens.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>> {
        Ok(match config.auth_mechanism {
            Auth::SaslIam => {
                let region = config.aws_region.clone();
                let missing = || error::invalid_config("aws_region", "must be set for sasl_iam");
                Some(Self::Amazon { region: region.ok_or_else(missing)? })
            }
            Auth::SaslOauthBearer => Some(match &config.oauth_token_file {
                Some(file) => Self::File(file.clone()),
                None => Self::Google,
            }),
            _ => None,
        })
    }

    /// Makes a token. Blocks.
    pub(crate) fn token(&self) -> Result<OAuthToken> {
        let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        match self {
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|problem| {
                    error::token(format!("cannot read {}: {problem}", path.display()))
                })?;
                Ok(of_file(text.trim(), now))
            }
            Self::Google => gcp::token(now),
            Self::Amazon { region } => aws::token(region, now),
        }
    }
}

fn of_file(token: &str, now: Duration) -> OAuthToken {
    let claims = claims(token).unwrap_or_default();
    let ends = claims.get("exp").and_then(serde_json::Value::as_f64);
    let ends = ends.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let subject = claims.get("sub").and_then(serde_json::Value::as_str).unwrap_or("cdc");
    OAuthToken {
        token: token.to_owned(),
        principal_name: subject.to_owned(),
        lifetime_ms: millis(ends.unwrap_or(now + FILE_LIFE)),
    }
}

/// The claims of a JSON web token; nothing is verified, the broker does that.
fn claims(token: &str) -> Option<serde_json::Value> {
    use base64::Engine as _;
    let part = token.split('.').nth(1)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn millis(since_1970: Duration) -> i64 {
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use proptest::prelude::*;

    #[test]
    fn a_token_in_a_file_tells_its_end_and_its_subject() {
        let part = |json: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
        let token =
            format!("{}.{}.x", part("{}"), part(r#"{"sub":"pipeline","exp":1700000000.5}"#));
        let made = of_file(&token, Duration::from_secs(5));
        assert_eq!(made.principal_name, "pipeline");
        assert_eq!(made.lifetime_ms, 1_700_000_000_500);
        let opaque = of_file("opaque", Duration::from_secs(5));
        assert_eq!((opaque.principal_name.as_str(), opaque.lifetime_ms), ("cdc", 305_000));
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange(text: String) {
            assert_eq!(of_file(&text, Duration::ZERO).token, text);
        }
    }
}
