//! Files of the web: `ADD https://…` of a Dockerfile. Connections, proxies and certificates are those
//! of registries; nobody's login goes along.

use std::io;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::{Method, StatusCode, Uri, header};
use tokio::time::timeout;

use super::body::Body;
use super::connect::{Connection, Connections, Endpoint, Trust};
use super::settings::Registries;

const REDIRECTS_MAX: usize = 10;
/// Time until the head of an answer, and between two pieces of its body.
const PATIENCE: Duration = Duration::from_secs(30);

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What a server said about a file: it tells whether it has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileVersion {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub modified: Option<String>,
}

/// What came of a request for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// It is as it was when it had the version that was known.
    Unchanged,
    /// It was fetched.
    File(FileVersion),
}

/// Fetches a file; its bytes go to `sink` as they come. With a version that is known, only if the
/// file has another one now.
///
/// Needs a tokio runtime with I/O and time enabled.
pub async fn fetch_file(
    registries: &Registries,
    url: &str,
    known: Option<&FileVersion>,
    sink: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
) -> Result<Fetched, Cause> {
    let connections = Connections::new(registries);
    let mut url: Uri = url.parse()?;
    for hop in 0..=REDIRECTS_MAX {
        let endpoint = Endpoint::of(&url).ok_or("it is not an http or https address")?;
        let trust = if hop == 0 {
            Trust::Named
        } else {
            Trust::Redirected
        };
        let mut connection = connections.connect(&endpoint, trust).await?;
        let message = request(&connection, &endpoint, (&url, known))?;
        let sent = timeout(PATIENCE, connection.sender.send_request(message));
        let answer = sent.await.map_err(|_| "the server does not answer")??;
        let text = |name: header::HeaderName| {
            let value = answer.headers().get(name)?;
            Some(value.to_str().ok()?.to_owned())
        };
        match answer.status() {
            StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Fetched::Unchanged),
            status if status.is_redirection() => {
                let to = text(header::LOCATION).ok_or("it redirects to nowhere")?;
                url = follow(&url, &to)?;
            }
            StatusCode::OK => {
                let version = FileVersion {
                    etag: text(header::ETAG),
                    modified: text(header::LAST_MODIFIED),
                };
                let mut body = answer.into_body();
                loop {
                    let frame = timeout(PATIENCE, body.frame());
                    let Some(frame) = frame.await.map_err(|_| "its answer breaks off")? else {
                        return Ok(Fetched::File(version));
                    };
                    if let Ok(data) = frame?.into_data() {
                        sink(&data)?;
                    }
                }
            }
            status => return Err(format!("the server answers {status}").into()),
        }
    }
    Err("it redirects again and again".into())
}

fn request(
    connection: &Connection,
    endpoint: &Endpoint,
    (url, known): (&Uri, Option<&FileVersion>),
) -> Result<hyper::Request<Body>, Cause> {
    let mut head = connection.request(Method::GET, endpoint, url);
    if let Some(etag) = known.and_then(|known| known.etag.as_ref()) {
        head = head.header(header::IF_NONE_MATCH, etag);
    } else if let Some(modified) = known.and_then(|known| known.modified.as_ref()) {
        head = head.header(header::IF_MODIFIED_SINCE, modified);
    }
    Ok(head.body(Body::of(&Bytes::new()))?)
}

/// The address that a redirection leads to: a whole one, or a path on the same host. Never from TLS
/// to plain text.
fn follow(from: &Uri, to: &str) -> Result<Uri, Cause> {
    let target: Uri = if to.starts_with('/') && !to.starts_with("//") {
        let scheme = from.scheme_str().unwrap_or("https");
        let authority = from.authority().map_or("", |authority| authority.as_str());
        format!("{scheme}://{authority}{to}").parse()?
    } else {
        to.parse()?
    };
    if from.scheme_str() == Some("https") && target.scheme_str() != Some("https") {
        return Err("it redirects to an address without TLS".into());
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_never_lead_from_tls_to_plain_text() {
        let from: Uri = "https://a.example/x/y".parse().unwrap();
        assert_eq!(follow(&from, "/z").unwrap(), "https://a.example/z");
        assert_eq!(
            follow(&from, "https://b.example/").unwrap(),
            "https://b.example/"
        );
        assert!(follow(&from, "http://b.example/").is_err());
        assert!(follow(&from, "file:///etc/passwd").is_err());
    }
}
