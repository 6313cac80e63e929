//! What to answer to a query: from the view, with an error, or not here. Pure but for the order of
//! addresses.

use std::collections::HashMap;
use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::PTR;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::View;

/// Seconds that an answer may be kept: a replaced container has another address at once.
const TTL: u32 = 1;
/// Largest datagram without EDNS (RFC 1035, 2.3.4).
const PLAIN_DATAGRAM: u16 = 512;
/// Largest datagram that is offered and sent (RFC 9715).
const LARGEST_DATAGRAM: u16 = 1232;

/// What is to be done with a query.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Send this, in a datagram of at most so many bytes.
    Answer(Message, usize),
    /// Ask others.
    Forward(Message),
    /// Nothing: what came is no query.
    Ignore,
}

/// What a client sees of the view.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    /// Names on these networks.
    pub(super) networks: &'a [String],
    /// Words of its own for them, in lower case.
    pub(super) links: &'a HashMap<String, String>,
}

/// Decides about the bytes of a query.
pub(super) fn decide(view: &View, seen: Seen<'_>, bytes: &[u8]) -> Outcome {
    const HEADER: usize = 12;
    const RESPONSE_BIT: u8 = 0x80;
    // An answer to an answer could go on for ever.
    if bytes.len() < HEADER || bytes[2] & RESPONSE_BIT != 0 {
        return Outcome::Ignore;
    }
    let Ok(message) = Message::from_vec(bytes) else {
        let id = u16::from_be_bytes([bytes[0], bytes[1]]);
        let error = Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
        return Outcome::Answer(error, usize::from(PLAIN_DATAGRAM));
    };
    if message.metadata.message_type != MessageType::Query {
        return Outcome::Ignore;
    }
    let limit = datagram_limit(&message);
    if message.metadata.op_code != OpCode::Query {
        return Outcome::Answer(failure(&message, ResponseCode::NotImp), limit);
    }
    let [query] = message.queries.as_slice() else {
        return Outcome::Answer(failure(&message, ResponseCode::FormErr), limit);
    };
    match records(view, seen, query) {
        Some(records) => {
            let mut answer = failure(&message, ResponseCode::NoError);
            answer.add_answers(records);
            Outcome::Answer(answer, limit)
        }
        None => Outcome::Forward(message),
    }
}

/// An answer without records.
pub(super) fn failure(query: &Message, code: ResponseCode) -> Message {
    let mut metadata = Metadata::response_from_request(&query.metadata);
    metadata.recursion_available = true;
    metadata.response_code = code;
    let mut answer = Message::response(metadata.id, metadata.op_code);
    answer.metadata = metadata;
    answer.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(LARGEST_DATAGRAM);
        answer.set_edns(edns);
    }
    answer
}

/// The largest datagram that whoever asked can take.
pub(super) fn datagram_limit(query: &Message) -> usize {
    let wanted = query
        .edns
        .as_ref()
        .map_or(PLAIN_DATAGRAM, Edns::max_payload);
    usize::from(wanted.clamp(PLAIN_DATAGRAM, LARGEST_DATAGRAM))
}

/// What the view says; `None` when it says nothing. A name that is known has no records of another
/// type: `NOERROR` without answers, because `NXDOMAIN` for AAAA would make resolvers give up on A.
fn records(view: &View, seen: Seen<'_>, query: &Query) -> Option<Vec<Record>> {
    if query.query_class() != DNSClass::IN {
        return None;
    }
    if query.query_type() == RecordType::PTR {
        let network = query.name().parse_arpa_name().ok()?;
        if network.prefix_len() != network.max_prefix_len() {
            return None;
        }
        let name = view.name(seen.networks, network.addr())?;
        let target = Name::from_labels(name.split('.').map(str::as_bytes)).ok()?;
        let data = RData::PTR(PTR(target));
        return Some(vec![Record::from_rdata(query.name().clone(), TTL, data)]);
    }
    let name = text(query.name());
    let linked = seen.links.get(&name);
    let mut addresses = linked
        .and_then(|name| view.addresses(seen.networks, name))
        .or_else(|| view.addresses(seen.networks, &name))?;
    fastrand::shuffle(&mut addresses);
    let fits = |address: &IpAddr| match query.query_type() {
        RecordType::A => address.is_ipv4(),
        RecordType::AAAA => address.is_ipv6(),
        RecordType::ANY => true,
        _ => false,
    };
    let record = |address| Record::from_rdata(query.name().clone(), TTL, RData::from(address));
    Some(addresses.into_iter().filter(fits).map(record).collect())
}

/// A name as the view has it.
fn text(name: &Name) -> String {
    let labels: Vec<String> = name
        .iter()
        .map(|label| String::from_utf8_lossy(label).to_ascii_lowercase())
        .collect();
    labels.join(".")
}

#[cfg(test)]
mod tests {
    use super::super::Member;
    use std::sync::LazyLock;

    use super::*;

    fn seen(networks: &[String]) -> Seen<'_> {
        static LINKS: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
            let link = |word: &str, name: &str| (word.to_owned(), name.to_owned());
            [link("linked", "web"), link("lost", "nobody")].into()
        });
        Seen {
            networks,
            links: &LINKS,
        }
    }

    fn view() -> View {
        let member = |network: &str, names: &[&str], addresses: &[&str]| Member {
            network: network.to_owned(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        };
        View::new(&[
            member("front", &["shop-web-1", "web", "WWW"], &["10.9.1.2"]),
            member("front", &["shop-web-2", "web"], &["10.9.1.3"]),
            member("back", &["shop-db_1-1", "db_1"], &["10.9.2.2", "fd09:2::2"]),
        ])
    }

    fn ask(networks: &[&str], name: &str, kind: RecordType) -> String {
        let mut query = Message::query();
        query.metadata.recursion_desired = true;
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let networks: Vec<String> = networks.iter().map(|&name| name.to_owned()).collect();
        match decide(&view(), seen(&networks), &query.to_vec().unwrap()) {
            Outcome::Forward(_) => "forward".to_owned(),
            Outcome::Ignore => "ignore".to_owned(),
            Outcome::Answer(answer, _) => {
                assert_eq!(answer.metadata.id, query.metadata.id);
                assert!(answer.metadata.recursion_available && answer.metadata.recursion_desired);
                let mut words: Vec<String> = answer
                    .answers
                    .iter()
                    .map(|record| record.data.to_string())
                    .collect();
                words.sort();
                words.insert(0, answer.metadata.response_code.to_string());
                words.join(" ")
            }
        }
    }

    #[test]
    fn names_of_a_clients_own_networks_are_answered_and_all_else_forwarded() {
        use RecordType::{A, AAAA, MX, PTR};
        let table: &[(&[&str], &str, RecordType, &str)] = &[
            (&["front"], "web.", A, "No Error 10.9.1.2 10.9.1.3"),
            (&["front"], "WeB.", A, "No Error 10.9.1.2 10.9.1.3"),
            (&["front"], "www.", A, "No Error 10.9.1.2"),
            (&["front"], "web.front.", A, "No Error 10.9.1.2 10.9.1.3"),
            (&["front"], "web.back.", A, "forward"),
            (&["front"], "web.", AAAA, "No Error"),
            (&["front"], "web.", MX, "No Error"),
            (&["front"], "db_1.", A, "forward"),
            (&["back"], "db_1.", A, "No Error 10.9.2.2"),
            (&["front", "back"], "db_1.back.", AAAA, "No Error fd09:2::2"),
            (&["front"], "example.com.", A, "forward"),
            (&[], "web.", A, "forward"),
            (&["front"], ".", A, "forward"),
            (
                &["front"],
                "2.1.9.10.in-addr.arpa.",
                PTR,
                "No Error shop-web-1.front.",
            ),
            (&["front"], "2.2.9.10.in-addr.arpa.", PTR, "forward"),
            (&["front"], "1.9.10.in-addr.arpa.", PTR, "forward"),
            (&["front"], "web.", PTR, "forward"),
            (&["front"], "Linked.", A, "No Error 10.9.1.2 10.9.1.3"),
            (&["back"], "linked.", A, "forward"),
            (&["front"], "lost.", A, "forward"),
        ];
        for &(networks, name, kind, expected) in table {
            assert_eq!(
                ask(networks, name, kind),
                expected,
                "{name} {kind} on {networks:?}"
            );
        }
    }

    #[test]
    fn whatever_comes_in_there_is_an_outcome() {
        let view = view();
        let networks = ["front".to_owned()];
        let mut query = Message::query();
        query.add_query(Query::query(
            Name::from_ascii("web.").unwrap(),
            RecordType::A,
        ));
        let good = query.to_vec().unwrap();
        for length in 0..good.len() {
            match decide(&view, seen(&networks), &good[..length]) {
                Outcome::Ignore => assert!(length < 12),
                Outcome::Answer(answer, _) => {
                    assert_eq!(answer.metadata.response_code, ResponseCode::FormErr);
                }
                Outcome::Forward(_) => panic!("a cut query was forwarded"),
            }
        }
        let mut answer = good.clone();
        answer[2] |= 0x80;
        assert!(matches!(
            decide(&view, seen(&networks), &answer),
            Outcome::Ignore
        ));
        // A name that points at itself.
        let mut looped = good[..12].to_vec();
        looped.extend([0xc0, 12, 0, 1, 0, 1]);
        assert!(matches!(
            decide(&view, seen(&networks), &looped),
            Outcome::Answer(..)
        ));
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes = good.clone();
            for _ in 0..4 {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            let _ = decide(&view, seen(&networks), &bytes);
        }
    }

    #[test]
    fn the_datagram_limit_is_what_both_sides_take() {
        let mut query = Message::query();
        assert_eq!(datagram_limit(&query), 512);
        for (offered, limit) in [(100, 512), (1000, 1000), (4096, 1232)] {
            let mut edns = Edns::new();
            edns.set_max_payload(offered);
            query.set_edns(edns);
            assert_eq!(datagram_limit(&query), limit);
        }
    }
}
