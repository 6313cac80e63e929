//! What happens to a stack: commands, edits, crashes, deaths of the supervisor.

use fastrand::Rng;

/// A history, made of nothing but its seed; the same seed decides how long everything takes.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) seed: u64,
    pub(super) events: Vec<Event>,
}

/// Services are numbers; one that is not there makes an event mean nothing.
pub(super) type Number = u8;

/// The most services of a stack.
pub(super) const SERVICES: u8 = 4;

#[derive(Debug, Clone)]
pub(super) enum Event {
    /// `up` with these services as they are now in the file; all others as they were.
    Up(Vec<(Number, Shape)>),
    /// A service leaves the file, with `--remove-orphans`.
    Leave(Number),
    /// The default network has other settings.
    Network,
    Scale(Number, u32),
    ForceRecreate(Number),
    Stop(Number),
    Start(Number),
    Restart(Number),
    /// One container of a service: the one with this index.
    Single(Number, u8, Hand),
    /// A signal to all containers of a service, of which their programs end.
    Kill(Number),
    /// Programs of all these services end at once.
    Crash(Vec<Number>, i32),
    Health(Number, bool),
    /// The next operation fails.
    FailOperation,
    /// The supervisor is killed and another one starts.
    KillSupervisor,
    /// Time goes by, in milliseconds.
    Wait(u64),
}

/// What a person does to one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hand {
    Stop,
    Start,
    Restart,
    Kill,
    Remove,
}

/// What a service says in the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    pub(super) hash: u8,
    pub(super) replicas: u32,
    pub(super) edges: Vec<Edge>,
    /// Shares the network of this one.
    pub(super) shares: Option<Number>,
    pub(super) policy: u8,
    pub(super) has_check: bool,
    pub(super) restarts_unhealthy: bool,
    /// How it is updated: order, what follows a failure, how many at a time.
    pub(super) update: Option<(bool, u8, u64)>,
}

#[derive(Debug, Clone)]
pub(super) struct Edge {
    pub(super) to: Number,
    pub(super) healthy: bool,
    pub(super) restart: bool,
    pub(super) follow: u8,
}

impl History {
    pub(super) fn of_seed(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let services = random.u8(1..=SERVICES.min(2 + (seed % 3) as u8));
        let mut shapes: Vec<Shape> = (0..services).map(|n| shape(&mut random, n)).collect();
        let first = shapes.iter().cloned().enumerate();
        let mut events = vec![Event::Up(
            first.map(|(n, shape)| (n as u8, shape)).collect(),
        )];
        for _ in 0..random.u8(1..6) {
            events.push(event(&mut random, services, &mut shapes));
            if random.u8(..3) > 0 {
                events.push(Event::Wait(random.u64(0..300)));
            }
        }
        Self { seed, events }
    }
}

fn shape(random: &mut Rng, number: Number) -> Shape {
    let mut edges = Vec::new();
    for to in 0..number {
        if random.u8(..3) == 0 {
            edges.push(Edge {
                to,
                healthy: random.bool(),
                restart: random.bool(),
                follow: if random.bool() { random.u8(..8) } else { 0 },
            });
        }
    }
    let shares = (number > 0 && random.u8(..5) == 0).then(|| random.u8(..number));
    Shape {
        hash: 0,
        replicas: if random.u8(..4) == 0 {
            random.u32(0..4)
        } else {
            1
        },
        edges,
        shares,
        policy: random.u8(..4),
        has_check: random.u8(..3) > 0,
        restarts_unhealthy: random.u8(..4) == 0,
        update: (random.u8(..3) == 0).then(|| (random.bool(), random.u8(..3), random.u64(0..3))),
    }
}

fn event(random: &mut Rng, services: u8, shapes: &mut [Shape]) -> Event {
    let one = random.u8(..services);
    match random.u8(..26) {
        0..=3 => {
            let mut changed = Vec::new();
            for number in 0..services {
                let shape_of = &mut shapes[usize::from(number)];
                match random.u8(..6) {
                    0 => shape_of.hash += 1,
                    1 => {
                        let hash = shape_of.hash;
                        *shape_of = shape(random, number);
                        shape_of.hash = hash;
                    }
                    _ => continue,
                }
                changed.push((number, shape_of.clone()));
            }
            Event::Up(changed)
        }
        4 => Event::Leave(one),
        5 => Event::Network,
        6 => Event::Scale(one, random.u32(0..4)),
        7 => Event::ForceRecreate(one),
        8 => Event::Stop(one),
        9 => Event::Start(one),
        10 | 11 => Event::Restart(one),
        12..=14 => {
            let also = random.u8(..services);
            Event::Crash(vec![one, also], i32::from(random.bool()))
        }
        15 | 16 => Event::Health(one, random.bool()),
        17 => Event::FailOperation,
        18 => Event::Kill(one),
        19..=23 => {
            use Hand::{Kill, Remove, Restart, Start, Stop};
            let hand = [Stop, Stop, Start, Restart, Kill, Remove][random.usize(..6)];
            Event::Single(one, random.u8(..3), hand)
        }
        _ => Event::KillSupervisor,
    }
}
