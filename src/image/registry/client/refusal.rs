//! Why an answer is not the one that was wanted.

use hyper::StatusCode;
use jiff::Timestamp;

use super::{ANSWER_MAX, Access, Answer, Client};
use crate::image::registry::error::RegistryError;
use crate::image::registry::retry::retry_after;

impl Client {
    /// Why an answer is not the one that was wanted.
    pub(in crate::image) async fn refused(&self, answer: Answer, path: &str) -> RegistryError {
        let registry = self.registry().to_owned();
        let after = retry_after(&answer.headers, Timestamp::now());
        match answer.status {
            StatusCode::NOT_FOUND if self.access == Access::Pull => RegistryError::NotFound {
                reference: Box::new(self.reference.clone()),
            },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.unauthorised(),
            StatusCode::TOO_MANY_REQUESTS => RegistryError::TooMany { registry, after },
            status => {
                let body = self.read(answer, ANSWER_MAX).await.unwrap_or_default();
                RegistryError::Answer {
                    registry,
                    status,
                    path: path.to_owned(),
                    message: message(&body),
                    after,
                }
            }
        }
    }
}

/// What a registry says about an error, without anything that could steer a terminal.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<Message>,
    }
    #[derive(serde::Deserialize)]
    struct Message {
        #[serde(default)]
        message: String,
    }
    let Ok(found) = serde_json::from_slice::<Errors>(body) else {
        return String::new();
    };
    let text = found
        .errors
        .into_iter()
        .map(|error| error.message)
        .collect::<Vec<_>>()
        .join("; ");
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_is_shown_without_control_characters() {
        let body = br#"{"errors":[{"code":"X","message":"no\u001b[2J way"},{"code":"Y"}]}"#;
        assert_eq!(message(body), "no[2J way; ");
        assert_eq!(message(b"<html>"), "");
    }
}
