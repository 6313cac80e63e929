//! How much of a container's output is kept: the options of Docker's logging drivers.

use crate::compose::model::Logging;
use crate::engine::EngineError;

const DEFAULT_LOG_SIZE: u64 = 64 << 20;
const DEFAULT_LOG_FILES: u32 = 4;

/// How much of a container's output is kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogLimits {
    pub(super) max_size: u64,
    pub(super) max_files: u32,
}

/// What `logging` says; `None` = keep nothing. Options that Docker's drivers do not have are refused in
/// its words: a limit with a slip in its name would be none. Other drivers' options are their own.
pub(super) fn log_limits(logging: Option<&Logging>) -> Result<Option<LogLimits>, EngineError> {
    let driver = logging.and_then(|logging| logging.driver.as_deref());
    let driver = driver
        .filter(|driver| !driver.is_empty())
        .unwrap_or("json-file");
    let mut limits = LogLimits {
        max_size: DEFAULT_LOG_SIZE,
        max_files: DEFAULT_LOG_FILES,
    };
    match driver {
        "none" => return Ok(None),
        "json-file" => {}
        // Docker's defaults for it.
        "local" => {
            limits = LogLimits {
                max_size: 20 << 20,
                max_files: 5,
            }
        }
        _ => return Ok(Some(limits)),
    }
    for (key, text) in logging.into_iter().flat_map(|logging| &logging.options) {
        limits.set(driver, (key.as_str(), text.as_str()))?;
    }
    Ok(Some(limits))
}

impl LogLimits {
    /// Takes over an option of one of the drivers that write files.
    fn set(&mut self, driver: &str, (key, text): (&str, &str)) -> Result<(), EngineError> {
        const BOTH: [&str; 2] = ["compress", "max-buffer-size"];
        const JSON: [&str; 6] = ["labels", "labels-regex", "env", "env-regex", "tag", "mode"];
        let failed = |what: String| {
            EngineError::Value(format!("failed to initialize logging driver: {what}"))
        };
        match key {
            "max-size" => {
                self.max_size =
                    size(text).ok_or_else(|| failed(format!("invalid size: '{text}'")))?;
            }
            "max-file" => {
                let files = text.parse().ok().filter(|files| *files > 0);
                self.max_files = files
                    .ok_or_else(|| failed(format!("max-file `{text}` is not a number above 0")))?;
            }
            key if BOTH.contains(&key) => {}
            key if driver == "json-file" && JSON.contains(&key) => {}
            _ => {
                return Err(EngineError::Value(format!(
                    "unknown log opt '{key}' for {driver} log driver"
                )));
            }
        }
        Ok(())
    }
}

/// `10m`, `1g`, `4096`: the sizes of Docker's logging options.
fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1 << 10),
        b'm' => (&text[..text.len() - 1], 1 << 20),
        b'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(factor)
        .filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_the_output_is_what_the_driver_s_options_say() {
        let limits = |driver: &str, options: &[(&str, &str)]| {
            let logging = Logging {
                driver: Some(driver.to_owned()),
                options: options
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
            };
            match log_limits(Some(&logging)) {
                Ok(None) => "nothing".to_owned(),
                Ok(Some(limits)) => format!("{} of {}", limits.max_files, limits.max_size),
                Err(error) => error.to_string(),
            }
        };
        let default = format!("{DEFAULT_LOG_FILES} of {DEFAULT_LOG_SIZE}");
        let unknown = "unknown log opt 'maxsize' for json-file log driver";
        for (driver, options, expected) in [
            ("none", &[][..], "nothing"),
            ("json-file", &[], &default),
            (
                "json-file",
                &[("max-size", "10k"), ("max-file", "3")],
                "3 of 10240",
            ),
            ("json-file", &[("tag", "x"), ("compress", "true")], &default),
            ("json-file", &[("maxsize", "1m")], unknown),
            ("local", &[], "5 of 20971520"),
            (
                "local",
                &[("tag", "x")],
                "unknown log opt 'tag' for local log driver",
            ),
            (
                "json-file",
                &[("max-size", "lots")],
                "failed to initialize logging driver: invalid size: 'lots'",
            ),
            ("syslog", &[("syslog-address", "tcp://x")], &default),
        ] {
            assert_eq!(limits(driver, options), expected, "{driver} {options:?}");
        }
        assert!(log_limits(None).unwrap().is_some());
    }

    #[test]
    fn sizes_of_logging_options() {
        let table = [
            ("10m", Some(10 << 20)),
            ("1G", Some(1 << 30)),
            ("4096", Some(4096)),
            ("2kb", Some(2048)),
            ("0", None),
            ("", None),
            ("x", None),
        ];
        for (text, expected) in table {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}
