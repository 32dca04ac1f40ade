//! Tests of the agreement of three servers, without a network: any order of messages, losses and new starts.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::api::data::PeerAsks;
use crate::config::ServerConfig;
use crate::keys;
use crate::manifest::tests::example;

const OWNER: u8 = 3;
const ANALYST: u8 = 5;

fn caller(digit: u8, role: Role) -> Caller {
    Caller { name: "somebody".into(), role, fingerprint: Fingerprint::from_bytes([digit; 32]) }
}

/// What a server is configured as.
fn config(dir: &Path, party: usize) -> ServerConfig {
    let mut text = format!("party = {party}\nlisten = \"127.0.0.1:7443\"\nkey = \"key\"\ndata = \"data\"\n");
    for peer in (0..3).filter(|peer| *peer != party) {
        let fingerprint = Fingerprint::from_bytes([peer as u8; 32]);
        let address = format!("s{peer}:1");
        writeln!(text, "[[peer]]\nparty = {peer}\naddress = \"{address}\"\nfingerprint = \"{fingerprint}\"")
            .unwrap();
    }
    if !dir.join("key").exists() {
        keys::create(&dir.join("key"), "server").unwrap();
    }
    let path = dir.join("party.toml");
    fs::write(&path, text).unwrap();
    ServerConfig::read(&path).unwrap()
}

struct Server {
    dir: TempDir,
    party: Party,
    sets: Option<DataSets>,
}

impl Server {
    fn new(party: usize) -> Self {
        // In memory where there is such a place, since thousands of records are written.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let mut server = Self { dir: dir.unwrap(), party: Party::new(party).unwrap(), sets: None };
        server.restart();
        server
    }

    /// As after a crash: what is not on the disk is gone.
    fn restart(&mut self) {
        self.sets = None;
        let config = config(self.dir.path(), self.party.index());
        fs::create_dir_all(&config.data).unwrap();
        let store = Arc::new(Store::open(&config.data).unwrap());
        let audit = Arc::new(AuditLog::open(&config.data, self.party.index() as u8).unwrap());
        self.sets = Some(DataSets::open(&config, store, audit).unwrap());
    }

    fn sets(&mut self) -> &mut DataSets {
        self.sets.as_mut().unwrap()
    }

    fn state(&mut self, id: &str) -> UploadState {
        let found = self.sets().store.read(|state| UPLOADS.get(state, id)).unwrap();
        found.map_or(UploadState::Unknown, |upload| upload.state.told())
    }

    /// All share files are there, and good.
    fn become_ready(&mut self, id: &str) {
        let dir = self.sets().share_dir(id);
        if self.state(id) == UploadState::Receiving {
            fs::create_dir_all(dir).unwrap();
            self.sets().promise(id).unwrap();
        }
    }

    fn question(&mut self, id: &str, expired: bool) -> Option<PeerAsks> {
        let found = self.sets().store.read(|state| UPLOADS.get(state, id)).unwrap();
        let upload = found.filter(|upload| matches!(upload.state, State::Ready { .. }))?;
        Some(PeerAsks { id: id.into(), digest: upload.digest, expired, head: self.sets().audit.head() })
    }
}

/// One server asks another one; the question or the answer may be lost.
fn ask(servers: &mut [Server; 3], from: usize, to: usize, expired: bool, lost: u64) {
    let id = example(OWNER, ANALYST).id;
    let Some(question) = servers[from].question(&id, expired) else { return };
    if lost == 1 {
        return;
    }
    let (asker, asked) = (servers[from].party, servers[to].party);
    let answer = servers[to].sets().asked(asker, &question).unwrap();
    if lost != 2 {
        servers[from].sets().heard(&id, asked, &answer).unwrap();
    }
}

/// Numbers that look random, the same for the same seed.
fn numbers(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    }
}

#[test]
fn three_servers_agree_whatever_happens() {
    let (mut complete, mut aborted) = (0, 0);
    for seed in 0..40 {
        let mut random = numbers(seed);
        let mut servers = [Server::new(0), Server::new(1), Server::new(2)];
        let manifest = example(OWNER, ANALYST);
        let id = manifest.id.clone();
        let mut was_ready = [false; 3];
        for _ in 0..60 {
            let (at, other) = (random(3) as usize, random(2) as usize + 1);
            match random(10) {
                0..=1 => {
                    // It may have been used, when a peer had given it up.
                    drop(servers[at].sets().begin(&caller(OWNER, Role::Owner), manifest.clone(), None));
                }
                2..=3 => servers[at].become_ready(&id),
                4 => servers[at].restart(),
                5 if seed % 3 == 0 => {
                    let state = servers[at].state(&id);
                    if state == UploadState::Receiving {
                        servers[at].sets().abort(&id, "upload.expired", "test").unwrap();
                    }
                }
                6 if seed % 3 == 1 => ask(&mut servers, at, (at + other) % 3, true, random(4)),
                _ => ask(&mut servers, at, (at + other) % 3, false, random(4)),
            }
            let states = [0, 1, 2].map(|at| servers[at].state(&id));
            for at in 0..3 {
                was_ready[at] |= matches!(states[at], UploadState::Ready | UploadState::Complete);
            }
            if states.contains(&UploadState::Complete) {
                assert_eq!(was_ready, [true; 3], "seed {seed}: a data set that not all have: {states:?}");
                assert!(!states.contains(&UploadState::Aborted), "seed {seed}: {states:?}");
            }
        }
        // In the end all messages arrive.
        for round in 0..4 {
            for at in 0..3 {
                for other in 1..3 {
                    ask(&mut servers, at, (at + other) % 3, round > 1, 0);
                }
            }
        }
        let states = [0, 1, 2].map(|at| servers[at].state(&id));
        let all = |state| states.iter().all(|found| *found == state);
        complete += u32::from(all(UploadState::Complete));
        aborted += u32::from(states.contains(&UploadState::Aborted));
        if states.contains(&UploadState::Complete) {
            assert!(all(UploadState::Complete), "seed {seed}: {states:?}");
        }
        assert!(
            !states.contains(&UploadState::Ready) || states.contains(&UploadState::Receiving),
            "seed {seed}: {states:?}"
        );
        let visible = servers
            .each_mut()
            .map(|server| server.sets().list(&caller(ANALYST, Role::Analyst)).unwrap().len());
        let expected = states.map(|state| usize::from(state == UploadState::Complete));
        assert_eq!(visible, expected);
    }
    assert!(complete > 10 && aborted > 10, "{complete} {aborted}");
}

#[test]
fn what_does_not_go_on_is_cleared_away_with_its_files() {
    let mut server = Server::new(1);
    let owner = caller(OWNER, Role::Owner);
    let manifest = example(OWNER, ANALYST);
    let id = manifest.id.clone();
    server.sets().begin(&owner, manifest.clone(), None).unwrap();
    drop(server.sets().write_to(&owner, &id, "train-features", 0).unwrap());
    assert!(server.sets().share_dir(&id).exists());
    server.sets().forget_old().unwrap();
    assert_eq!(server.state(&id), UploadState::Receiving);

    server.sets().limits.upload_time = Duration::ZERO;
    std::thread::sleep(Duration::from_millis(2100));
    server.sets().forget_old().unwrap();
    assert_eq!(server.state(&id), UploadState::Aborted);
    assert!(!server.sets().share_dir(&id).exists());
    let refused = server.sets().begin(&owner, manifest, None).unwrap_err();
    assert!(refused.error().contains("was used before"), "{refused:?}");

    // Files that belong to nothing go at the next start.
    let orphan = server.sets().share_dir("0000");
    fs::create_dir(&orphan).unwrap();
    server.restart();
    assert!(!orphan.exists());
}

#[test]
fn limits_are_kept() {
    let mut server = Server::new(0);
    let owner = caller(OWNER, Role::Owner);
    let other = |digit: u32| {
        let mut manifest = example(OWNER, ANALYST);
        manifest.id = format!("{digit:032x}");
        manifest.description.id = manifest.id.clone();
        manifest.name = format!("set-{digit}");
        manifest
    };
    let sets = server.sets();
    sets.limits.uploads = 2;
    let refused = |result: core::result::Result<UploadStatus, Refusal>, part: &str| {
        let refusal = result.unwrap_err();
        assert!(refusal.error().contains(part), "{refusal:?}");
    };
    refused(sets.begin(&owner, other(1), Some(sets.limits.free_disk)), "no room on its disk");
    sets.begin(&owner, other(1), None).unwrap();
    sets.begin(&owner, other(2), None).unwrap();
    refused(sets.begin(&owner, other(3), None), "2 uploads of yours are under way");
    sets.limits.uploads = 9;
    sets.limits.data_sets = 2;
    refused(sets.begin(&owner, other(3), None), "you have 2 data sets");
    sets.limits.data_sets = 9;
    sets.limits.upload_bytes = 499;
    refused(sets.begin(&owner, other(3), None), "takes 499 at most");
    sets.limits.upload_bytes = 500;
    sets.begin(&owner, other(3), None).unwrap();
    // Only one request at a time writes to a share file.
    let id = other(3).id;
    let first = sets.write_to(&owner, &id, "train-features", 0).unwrap();
    assert!(sets.write_to(&owner, &id, "train-features", 0).is_err());
    drop(first);
    sets.write_to(&owner, &id, "train-features", 0).unwrap();
}

#[test]
fn a_job_is_admitted_by_the_terms_of_all_its_data_sets() {
    let mut server = Server::new(0);
    let manifest = example(OWNER, ANALYST);
    let id = manifest.id.clone();
    let sets = server.sets();
    sets.begin(&caller(OWNER, Role::Owner), manifest, None).unwrap();
    let analyst = caller(ANALYST, Role::Analyst);
    let good = JobRequest {
        datasets: vec![id.clone()],
        columns: vec!["age".into()],
        task: Task::Classification,
        epochs: 3,
        trainings: 1,
        rows: 40,
        outputs: vec![Output::Metrics],
        predictions_to: Vec::new(),
        model_to: Vec::new(),
    };
    let admit = |sets: &DataSets, job: &str, request: &JobRequest| {
        sets.store
            .write(|state| sets.admit_in(state, (job, "d"), &analyst, request))
            .map(|uploads| uploads.len())
    };
    let job = |digit: u32| format!("{digit:032x}");
    let refused = |result: core::result::Result<usize, Refusal>, part: &str| {
        let refusal = result.unwrap_err();
        assert!(refusal.error().contains(part), "{refusal:?}");
    };
    refused(admit(sets, &job(1), &good), "there is no data set");
    sets.store
        .write(|state| {
            let mut upload = UPLOADS.get(state, &id)?.unwrap();
            upload.enter(State::Complete);
            UPLOADS.put(state, &id, &upload)
        })
        .unwrap();
    // A refused job has not used its id.
    refused(
        admit(sets, &job(1), &JobRequest { epochs: 4, ..good.clone() }),
        "the rule `max_epochs` forbids it",
    );
    refused(
        admit(sets, &job(1), &JobRequest { columns: vec!["x".into()], ..good.clone() }),
        "none of its data sets has",
    );
    refused(
        admit(sets, &job(1), &JobRequest { datasets: vec![id.clone(), id.clone()], ..good.clone() }),
        "each of them once",
    );
    refused(admit(sets, "job", &good), "32 hexadecimal digits");
    let model_to = vec![Fingerprint::from_bytes([ANALYST; 32])];
    let model = JobRequest { outputs: vec![Output::Model], model_to, ..good.clone() };
    refused(admit(sets, &job(1), &model), "the rule `outputs` forbids it");
    assert_eq!(admit(sets, &job(1), &good).unwrap(), 1);
    refused(admit(sets, &job(1), &good), "was used before");
    assert_eq!(admit(sets, &job(2), &good).unwrap(), 1);
    refused(admit(sets, &job(3), &good), "the rule `max_jobs` forbids it");
    let (entries, _) = sets.audit.page(1, |_| true).unwrap();
    let texts: Vec<String> =
        entries.iter().map(|entry| entry.text.as_ref().unwrap().get().to_owned()).collect();
    assert_eq!(texts.iter().filter(|text| text.contains("job.accepted")).count(), 2);
    assert!(texts.iter().any(|text| text.contains("job.refused") && text.contains("max_epochs")));
}
