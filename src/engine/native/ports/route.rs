//! Which containers behind a published port get its connections, and by which way. Pure.
//!
//! Why several containers are never behind the firewall's translation: `docs/design/published-ports.md`.

use crate::net::proxy::Admits;
use crate::state::records::HealthStatus;

/// How far a container behind a port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is being started.
    Starting,
    /// Its program runs.
    Running,
    /// It is to stop, and others go on.
    Leaving,
}

/// A container behind a port, as far as that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) stage: Stage,
    /// `None` when it has no check.
    pub(super) health: Option<HealthStatus>,
}

/// The way of new connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// Whom the proxy gives connections, in the order of the candidates.
    pub(super) admits: Vec<Admits>,
    /// The container that the firewall sends outside traffic to without the proxy.
    pub(super) direct: Option<usize>,
}

/// Decides. `replicas` is how many containers the service is to have.
///
/// A container that is alone, and is to be, gets everything whatever its health, as with Docker:
/// nobody else could. Of several, only those that run and are healthy get any.
pub(super) fn route(replicas: u32, candidates: &[Candidate]) -> Route {
    let mut staying = (0..candidates.len()).filter(|at| candidates[*at].stage != Stage::Leaving);
    let direct = match (staying.next(), staying.next()) {
        (Some(only), None) if replicas <= 1 => Some(only),
        _ => None,
    };
    let admits = |candidate: &Candidate| match (candidate.stage, candidate.health) {
        (Stage::Leaving, _) => Admits::None,
        (Stage::Starting, _) => Admits::Soon,
        (Stage::Running, _) if direct.is_some() => Admits::Now,
        (Stage::Running, None | Some(HealthStatus::Healthy)) => Admits::Now,
        (Stage::Running, Some(HealthStatus::Starting)) => Admits::Soon,
        (Stage::Running, Some(HealthStatus::Unhealthy)) => Admits::None,
    };
    Route {
        admits: candidates.iter().map(admits).collect(),
        direct,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+` runs without a check, `h` healthy, `s` starting health, `u` unhealthy, `.` being started,
    /// `-` leaving. The answer: `N`ow, `S`oon, `0` none; `=` marks the direct one.
    fn shown(replicas: u32, candidates: &str) -> String {
        let candidate = |letter: char| {
            let (stage, health) = match letter {
                '+' => (Stage::Running, None),
                'h' => (Stage::Running, Some(HealthStatus::Healthy)),
                's' => (Stage::Running, Some(HealthStatus::Starting)),
                'u' => (Stage::Running, Some(HealthStatus::Unhealthy)),
                '.' => (Stage::Starting, None),
                _ => (Stage::Leaving, Some(HealthStatus::Healthy)),
            };
            Candidate { stage, health }
        };
        let candidates: Vec<_> = candidates.chars().map(candidate).collect();
        let route = route(replicas, &candidates);
        let mut text = String::new();
        for (at, admits) in route.admits.iter().enumerate() {
            text.push(match admits {
                Admits::Now => 'N',
                Admits::Soon => 'S',
                Admits::None => '0',
            });
            if route.direct == Some(at) {
                text.push('=');
            }
        }
        text
    }

    #[test]
    fn connections_go_to_those_that_can_serve_them() {
        let table = [
            // One, as with Docker: whatever its health, and without the proxy.
            (1, "+", "N="),
            (1, "s", "N="),
            (1, "u", "N="),
            (1, ".", "S="),
            // Several.
            (3, "+++", "NNN"),
            (3, "hsu", "NS0"),
            (3, "sss", "SSS"),
            (3, "uuu", "000"),
            (3, "h.-", "NS0"),
            // One of several that are wanted is no exception.
            (3, "s", "S"),
            (3, "h", "N"),
            // A new one beside the old one, then in its place.
            (1, "h.", "NS"),
            (1, "hs", "NS"),
            (1, "hh", "NN"),
            (1, "-h", "0N="),
            (1, "-s", "0N="),
            (1, "--", "00"),
            (1, "", ""),
        ];
        for (replicas, candidates, wanted) in table {
            assert_eq!(
                shown(replicas, candidates),
                wanted,
                "{replicas} {candidates}"
            );
        }
    }
}
