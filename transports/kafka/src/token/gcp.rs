//! Tokens for Google Cloud's managed Kafka: the machine's access token in the form that its brokers
//! take.

use super::{metadata::request, millis};
use crate::error;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cdc_core::Result;
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use std::time::Duration;

const SERVICE: &str =
    "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default";
const FLAVOUR: [(&str, &str); 1] = [("Metadata-Flavor", "Google")];

#[derive(Deserialize)]
struct Access {
    access_token: String,
    expires_in: u64,
}

/// Asks the machine for its token. Blocks.
pub(super) fn token(now: Duration) -> Result<OAuthToken> {
    let account = request("GET", &format!("{SERVICE}/email"), &FLAVOUR).map_err(error::token)?;
    let answer = request("GET", &format!("{SERVICE}/token"), &FLAVOUR).map_err(error::token)?;
    // The answer holds a token, so it is not shown.
    let access: Access = serde_json::from_str(&answer)
        .map_err(|_| error::token("the machine's answer is not a token"))?;
    let ends = now + Duration::from_secs(access.expires_in);
    Ok(OAuthToken {
        token: bearer(account.trim(), &access.access_token, now, ends),
        principal_name: account.trim().to_owned(),
        lifetime_ms: millis(ends),
    })
}

/// The three parts that Google's brokers take: a header, who it is and until when, the access token.
#[must_use]
pub fn bearer(account: &str, access_token: &str, now: Duration, ends: Duration) -> String {
    let header = serde_json::json!({"typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN"});
    let claims = serde_json::json!({
        "exp": ends.as_secs(),
        "iss": "Google",
        "iat": now.as_secs(),
        "scope": "kafka",
        "sub": account,
    });
    let parts = [header.to_string(), claims.to_string(), access_token.to_owned()];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_parts_that_the_brokers_take() {
        let token =
            bearer("a@b.iam", "ya29.secret", Duration::from_secs(10), Duration::from_secs(99));
        let parts: Vec<String> = (token.split('.'))
            .map(|part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(
            parts,
            [
                r#"{"typ":"JWT","alg":"GOOG_OAUTH2_TOKEN"}"#,
                r#"{"exp":99,"iss":"Google","iat":10,"scope":"kafka","sub":"a@b.iam"}"#,
                "ya29.secret",
            ]
        );
    }
}
