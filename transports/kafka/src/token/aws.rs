//! Tokens for Amazon MSK with IAM: a request to connect, signed with the process's AWS identity and
//! never sent, which the broker checks.

use super::{metadata::request, millis};
use crate::error;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cdc_core::{Result, Secret};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, time::Duration};

/// How long a token may be used; MSK allows no more.
const LIFE: Duration = Duration::from_secs(900);
const SERVICE: &str = "kafka-cluster";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Where machines of Amazon learn their identity.
const MACHINE: &str = "http://169.254.169.254/latest";
/// Where containers do, unless they are told another address.
const CONTAINER: &str = "http://169.254.170.2";

/// An AWS identity.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Its public part.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
    /// Goes with identities that end.
    pub session_token: Option<Secret>,
}

/// Signs a token with the identity of this process. Blocks where the machine must be asked for it.
pub(super) fn token(region: &str, now: Duration) -> Result<OAuthToken> {
    let identity = credentials()?;
    Ok(OAuthToken {
        token: bearer(&identity, region, now),
        principal_name: identity.access_key_id,
        lifetime_ms: millis(now + LIFE),
    })
}

/// The signed request as MSK takes it.
#[must_use]
pub fn bearer(identity: &Credentials, region: &str, now: Duration) -> String {
    URL_SAFE_NO_PAD.encode(signed_url(identity, region, now) + "&User-Agent=cdc")
}

fn signed_url(identity: &Credentials, region: &str, now: Duration) -> String {
    let host = format!("kafka.{region}.amazonaws.com");
    let time = Time::of(now.as_secs());
    let scope = format!("{}/{region}/{SERVICE}/aws4_request", time.day());
    let credential = format!("{}/{scope}", identity.access_key_id);
    let life = LIFE.as_secs().to_string();
    let second = time.second();
    let mut query = vec![
        ("Action", "kafka-cluster:Connect"),
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", &credential),
        ("X-Amz-Date", &second),
        ("X-Amz-Expires", &life),
    ];
    if let Some(session) = &identity.session_token {
        query.push(("X-Amz-Security-Token", session.expose()));
    }
    query.push(("X-Amz-SignedHeaders", "host"));
    let query: Vec<_> =
        query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    let query = query.join("&");
    let nothing = hex(&Sha256::digest(b""));
    let canonical = format!("GET\n/\n{query}\nhost:{host}\n\nhost\n{nothing}");
    let digest = hex(&Sha256::digest(canonical.as_bytes()));
    let to_sign = format!("{ALGORITHM}\n{second}\n{scope}\n{digest}");
    let secret = format!("AWS4{}", identity.secret_access_key.expose());
    let key = [time.day().as_str(), region, SERVICE, "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| sign(&key, part));
    let signature = hex(&sign(&key, &to_sign));
    format!("https://{host}/?{query}&X-Amz-Signature={signature}")
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("text takes everything");
        out
    })
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("text takes everything");
        }
        out
    })
}

/// A time of day in the calendar.
struct Time {
    year: u64,
    month: u64,
    day: u64,
    seconds: u64,
}

impl Time {
    // Counted in days from the first of March of the year 0, where leap days come last.
    fn of(since_1970: u64) -> Self {
        let days = since_1970 / 86_400 + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        Self { year, month, day, seconds: since_1970 % 86_400 }
    }

    fn day(&self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }

    fn second(&self) -> String {
        let (hour, minute) = (self.seconds / 3600, self.seconds / 60 % 60);
        format!("{}T{hour:02}{minute:02}{:02}Z", self.day(), self.seconds % 60)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Granted {
    access_key_id: String,
    secret_access_key: Secret,
    token: Option<Secret>,
}

impl From<Granted> for Credentials {
    fn from(granted: Granted) -> Self {
        Self {
            access_key_id: granted.access_key_id,
            secret_access_key: granted.secret_access_key,
            session_token: granted.token,
        }
    }
}

/// The environment, then the container, then the machine.
fn credentials() -> Result<Credentials> {
    let set =
        |name: &str| std::env::var_os(name)?.into_string().ok().filter(|text| !text.is_empty());
    if let (Some(id), Some(secret)) = (set("AWS_ACCESS_KEY_ID"), set("AWS_SECRET_ACCESS_KEY")) {
        return Ok(Credentials {
            access_key_id: id,
            secret_access_key: Secret::new(secret),
            session_token: set("AWS_SESSION_TOKEN").map(Secret::new),
        });
    }
    let relative = set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let container = relative
        .map(|path| format!("{CONTAINER}{path}"))
        .or_else(|| set("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
    let answer = match container {
        Some(url) => {
            let file = set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
            let from_file = file.and_then(|file| std::fs::read_to_string(file).ok());
            let token = from_file.or_else(|| set("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
            let headers: Vec<_> =
                token.iter().map(|token| ("Authorization", token.trim())).collect();
            request("GET", &url, &headers)
        }
        None => of_machine(),
    };
    let answer = answer.map_err(error::token)?;
    // The answer holds a secret, so it is not shown.
    let granted: Granted = serde_json::from_str(&answer)
        .map_err(|_| error::token("the machine's answer is not an AWS identity"))?;
    Ok(granted.into())
}

fn of_machine() -> Result<String, String> {
    let life = [("X-aws-ec2-metadata-token-ttl-seconds", "60")];
    let session = request("PUT", &format!("{MACHINE}/api/token"), &life)?;
    let headers = [("X-aws-ec2-metadata-token", session.trim())];
    let roles = format!("{MACHINE}/meta-data/iam/security-credentials/");
    let role = request("GET", &roles, &headers)?;
    let role = role.lines().next().unwrap_or_default().trim();
    request("GET", &format!("{roles}{role}"), &headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(session: Option<&str>) -> Credentials {
        Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: session.map(Secret::new),
        }
    }

    #[test]
    fn times_are_written_in_the_calendar() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_440_938_160, "20150830T123600Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(Time::of(seconds).second(), text);
        }
    }

    // The key that Amazon's documentation of Signature Version 4 derives step by step.
    #[test]
    fn keys_are_derived_as_amazon_documents_it() {
        let secret = b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec();
        let key = ["20150830", "us-east-1", "iam", "aws4_request"]
            .iter()
            .fold(secret, |key, part| sign(&key, part));
        assert_eq!(hex(&key), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }

    #[test]
    fn a_token_is_a_signed_request_to_connect() {
        let token =
            bearer(&identity(Some("a/b+c=")), "eu-west-1", Duration::from_secs(1_440_938_160));
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(token).unwrap()).unwrap();
        let (address, query) = url.split_once('?').unwrap();
        assert_eq!(address, "https://kafka.eu-west-1.amazonaws.com/");
        let names: Vec<_> = query.split('&').map(|one| one.split_once('=').unwrap()).collect();
        let of = |name: &str| names.iter().find(|(found, _)| *found == name).unwrap().1;
        assert_eq!(of("Action"), "kafka-cluster%3AConnect");
        assert_eq!(
            of("X-Amz-Credential"),
            "AKIDEXAMPLE%2F20150830%2Feu-west-1%2Fkafka-cluster%2Faws4_request"
        );
        assert_eq!(of("X-Amz-Date"), "20150830T123600Z");
        assert_eq!(of("X-Amz-Expires"), "900");
        assert_eq!(of("X-Amz-Security-Token"), "a%2Fb%2Bc%3D");
        assert_eq!(of("X-Amz-Signature").len(), 64);
        assert_eq!(names.last().unwrap(), &("User-Agent", "cdc"));
        assert!(!url.contains("EXAMPLEKEY"));
    }
}
