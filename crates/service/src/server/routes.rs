//! What a server can be asked for.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::RequestExt;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use utoipa::OpenApi;
use utoipa::openapi::security::SecurityScheme;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Result;
use crate::api::{Check, Health, Problem, Received, SECURITY, SPEED_BYTES, ServerInfo, VERSION, WhoAmI};
use crate::config::ServerConfig;
use crate::doctor::look_at_peers;
use crate::page;
use crate::server::caller::{By, Caller, Operators, Servers};
use crate::server::layers::{admit, explain, limit_time, observe, refuse_other_sites};
use crate::server::metrics::MEDIA_TYPE;
use crate::server::problem::Refusal;
use crate::server::state::Shared;
use crate::server::{contacts, data, data_port, jobs};

/// Where the interface is described.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Shamisen server",
        description = "Control plane of one of the three servers. Callers show a certificate that the server knows; only /health is for everybody. Every error is JSON: what is wrong, and what to do."
    ),
    security(("certificate" = [])),
    modifiers(&Certificates)
)]
struct Description;

/// How callers are known.
struct Certificates;

impl utoipa::Modify for Certificates {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::MutualTls {
            description: Some("A self-signed certificate whose SHA-256 fingerprint the server knows.".into()),
            deprecated: None,
            extensions: None,
        };
        openapi.components.get_or_insert_default().add_security_scheme("certificate", scheme);
    }
}

/// All requests, each with its description: a route cannot be added without one.
fn described() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(health))
        .routes(routes!(whoami))
        .routes(routes!(server))
        .routes(routes!(download))
        .routes(routes!(upload))
        .routes(routes!(peers))
        .routes(routes!(data_listen))
        .routes(routes!(metrics))
        .routes(routes!(openapi))
        .merge(data::routes::described_routes())
        .merge(jobs::routes())
        .merge(contacts::described_routes())
}

/// The service of a server, and what its connections have to know.
pub(crate) fn router(config: ServerConfig) -> Result<(Router, Arc<Shared>)> {
    let (router, description) = described().split_for_parts();
    let description =
        description.to_json().map_err(|error| crate::ServiceError::Start { source: error.into() })?;
    let shared = Arc::new(Shared::new(config, description)?);
    let router = router
        .merge(page::routes())
        .layer(DefaultBodyLimit::max(shared.config().limits.request_bytes))
        .layer(from_fn_with_state(Arc::clone(&shared), limit_time))
        .layer(from_fn(admit))
        .layer(from_fn(refuse_other_sites))
        .layer(from_fn(explain))
        .layer(from_fn_with_state(Arc::clone(&shared), observe))
        .with_state(Arc::clone(&shared));
    Ok((router, shared))
}

/// Whether the server runs.
#[utoipa::path(get, path = "/health", security(()), responses((status = OK, body = Health)))]
async fn health() -> Json<Health> {
    Json(Health { status: "ok".into() })
}

/// As whom the server knows the caller.
#[utoipa::path(get, path = "/v1/whoami", responses((status = OK, body = WhoAmI), (status = UNAUTHORIZED, body = Problem)))]
async fn whoami(caller: Caller) -> Json<WhoAmI> {
    let Caller { name, role, fingerprint } = caller;
    Json(WhoAmI { name: name.to_string(), role, fingerprint: fingerprint.to_string() })
}

/// What the server tells about itself.
#[utoipa::path(get, path = "/v1/server", responses((status = OK, body = ServerInfo), (status = UNAUTHORIZED, body = Problem)))]
async fn server(State(shared): State<Arc<Shared>>) -> Json<ServerInfo> {
    Json(ServerInfo {
        version: VERSION.into(),
        party: shared.config().party.index() as u8,
        security: SECURITY.into(),
        clock: now(),
        free_disk: shared.free_disk(),
        free_disk_wanted: shared.config().limits.free_disk,
        lanes: shared.config().limits.lanes.get(),
    })
}

/// So many bytes, to measure the bandwidth from the server.
#[utoipa::path(
    get,
    path = "/v1/speed/{bytes}",
    params(("bytes" = usize, Path, maximum = 4_194_304.0, description = "At most 4 MiB.")),
    responses(
        (status = OK, content_type = "application/octet-stream", description = "Zeros."),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem)
    )
)]
async fn download(
    State(shared): State<Arc<Shared>>,
    bytes: std::result::Result<Path<usize>, PathRejection>,
) -> std::result::Result<impl IntoResponse, Refusal> {
    match bytes {
        Ok(Path(bytes)) if bytes <= SPEED_BYTES => {
            Ok(([(CONTENT_TYPE, "application/octet-stream")], shared.zeros.slice(..bytes)))
        }
        _ => {
            let text = format!("the path must end with a number of bytes up to {SPEED_BYTES}");
            Err(Refusal::new(StatusCode::BAD_REQUEST, text))
        }
    }
}

/// Takes bytes and forgets them, to measure the bandwidth to the server.
#[utoipa::path(
    post,
    path = "/v1/speed",
    request_body(content_type = "application/octet-stream", description = "Anything."),
    responses(
        (status = OK, body = Received),
        (status = PAYLOAD_TOO_LARGE, body = Problem),
        (status = UNAUTHORIZED, body = Problem)
    )
)]
async fn upload(request: Request) -> std::result::Result<Json<Received>, Refusal> {
    let mut body = request.into_limited_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        // Either it is too long or the caller is gone, and then nobody reads the answer.
        let frame = frame.map_err(|_| Refusal::of_status(StatusCode::PAYLOAD_TOO_LARGE, ""))?;
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(Json(Received { bytes }))
}

/// What the server finds when it looks at its two peers.
#[utoipa::path(get, path = "/v1/peers", responses((status = OK, body = [Check]), (status = UNAUTHORIZED, body = Problem)))]
async fn peers(State(shared): State<Arc<Shared>>) -> Json<Vec<Check>> {
    let _turn = shared.examining.lock().await;
    Json(look_at_peers(&shared.config()).await)
}

/// Lets the server listen at the port of the data plane for one call of a server, to try it out.
#[utoipa::path(
    post,
    path = "/v1/data-listen",
    responses(
        (status = OK, body = Health),
        (status = CONFLICT, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem)
    )
)]
async fn data_listen(
    State(shared): State<Arc<Shared>>,
    _: By<Servers>,
) -> std::result::Result<Json<Health>, Refusal> {
    data_port::listen(&shared).await?;
    Ok(Json(Health { status: "ok".into() }))
}

/// Figures for Prometheus, for operators and servers.
#[utoipa::path(
    get,
    path = "/metrics",
    responses(
        (status = OK, content_type = "application/openmetrics-text", body = String),
        (status = UNAUTHORIZED, body = Problem),
        (status = FORBIDDEN, body = Problem)
    )
)]
async fn metrics(
    State(shared): State<Arc<Shared>>,
    _: By<Operators>,
) -> std::result::Result<impl IntoResponse, Refusal> {
    let text = shared.metrics.text(shared.free_disk()).map_err(|error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the figures cannot be written: {error}"))
    })?;
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], text))
}

/// This description of all requests.
#[utoipa::path(
    get,
    path = "/openapi.json",
    responses((status = OK, content_type = "application/json", description = "OpenAPI 3.1."), (status = UNAUTHORIZED, body = Problem))
)]
async fn openapi(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], shared.openapi.clone())
}

/// Seconds since 1970 by this machine's clock.
pub(crate) fn now() -> f64 {
    match SystemTime::UNIX_EPOCH.elapsed() {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::fs;

    use axum::body::Body;
    use axum::http::Method;
    use axum::response::Response;
    use serde_json::Value;
    use shamisen_net::tls::Fingerprint;
    use tempfile::TempDir;
    use tower::ServiceExt;

    use super::*;
    use crate::keys;

    const OWNER: u8 = 3;
    const OPERATOR: u8 = 4;
    const STRANGER: u8 = 9;

    /// A server that knows peers, an owner and an operator by fingerprints that are easy to write.
    struct Tested {
        router: Router,
        shared: Arc<Shared>,
        _dir: TempDir,
    }

    impl Tested {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            keys::create(&dir.path().join("key"), "server 0").unwrap();
            let mut text = String::from(
                "party = 0\nlisten = \"127.0.0.1:7443\"\nkey = \"key\"\ndata = \"data\"\n[limits]\nrequest_bytes = 4194304\n",
            );
            for party in [1_u8, 2] {
                let fingerprint = key(party);
                write!(text, "[[peer]]\nparty = {party}\naddress = \"127.0.0.{party}:1\"\nfingerprint = \"{fingerprint}\"\n").unwrap();
            }
            for (role, digit) in [("owner", OWNER), ("operator", OPERATOR)] {
                let fingerprint = key(digit);
                write!(
                    text,
                    "[[person]]\nname = \"an {role}\"\nrole = \"{role}\"\nfingerprint = \"{fingerprint}\"\n"
                )
                .unwrap();
            }
            let path = dir.path().join("party0.toml");
            fs::write(&path, text).unwrap();
            let mut config = ServerConfig::read(&path).unwrap();
            config.data_listen.set_port(0);
            let (router, shared) = router(config).unwrap();
            Self { router, shared, _dir: dir }
        }

        async fn call(&self, digit: Option<u8>, method: Method, path: &str, body: Vec<u8>) -> Response {
            let visitor = self.shared.visitor(digit.map(key));
            let request = Request::builder().method(method).uri(path).extension(visitor);
            self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap()
        }

        async fn get(&self, digit: Option<u8>, path: &str) -> Response {
            self.call(digit, Method::GET, path, Vec::new()).await
        }
    }

    fn key(digit: u8) -> Fingerprint {
        Fingerprint::from_bytes([digit; 32])
    }

    async fn text(answer: Response) -> String {
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    async fn json(answer: Response) -> Value {
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
        serde_json::from_str(&text(answer).await).unwrap()
    }

    #[tokio::test]
    async fn strangers_get_nothing_but_health() {
        let tested = Tested::new();
        for digit in [None, Some(STRANGER)] {
            let answer = tested.get(digit, "/health").await;
            assert_eq!(answer.headers()["connection"], "close");
            assert_eq!(json(answer).await["status"], "ok");
        }
        let description: Value = serde_json::from_str(&tested.shared.openapi).unwrap();
        let paths = description["paths"].as_object().unwrap().keys().cloned();
        for path in paths.chain(["/nothing".into(), "/health/".into()]).filter(|path| path != "/health") {
            for method in [Method::GET, Method::POST] {
                let answer = tested.call(None, method.clone(), &path, Vec::new()).await;
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
                let problem = json(answer).await;
                assert!(problem["error"].as_str().unwrap().contains("with a key that it knows"));
                let answer = tested.call(Some(STRANGER), method, &path, Vec::new()).await;
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
                let problem = json(answer).await;
                assert!(problem["error"].as_str().unwrap().contains(&key(STRANGER).to_string()));
                assert!(problem["hint"].as_str().unwrap().contains("[[person]]"));
            }
        }
    }

    #[tokio::test]
    async fn the_page_is_for_those_who_are_known_and_says_what_it_must_not_do() {
        let tested = Tested::new();
        for path in ["/", "/page/page.css", "/page/main.js"] {
            assert_eq!(tested.get(None, path).await.status(), StatusCode::UNAUTHORIZED);
            let answer = tested.get(Some(OWNER), path).await;
            assert_eq!(answer.status(), StatusCode::OK);
            let policy = answer.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        }
    }

    #[tokio::test]
    async fn a_browser_reads_for_its_own_page_alone() {
        let tested = Tested::new();
        let call = async |method: Method, path: &str, site: &str| {
            let request = Request::builder().method(method).uri(path).header("sec-fetch-site", site);
            let request = request.extension(tested.shared.visitor(Some(key(OPERATOR))));
            tested.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
        };
        for site in ["same-origin", "none"] {
            assert_eq!(call(Method::GET, "/v1/jobs", site).await, StatusCode::OK);
            assert_eq!(call(Method::POST, "/v1/speed", site).await, StatusCode::FORBIDDEN);
        }
        for site in ["cross-site", "same-site", "whatever"] {
            assert_eq!(call(Method::GET, "/v1/jobs", site).await, StatusCode::FORBIDDEN);
        }
        assert_eq!(
            tested.call(Some(OPERATOR), Method::POST, "/v1/speed", Vec::new()).await.status(),
            StatusCode::OK
        );
    }

    #[tokio::test]
    async fn people_are_known_by_their_keys() {
        let tested = Tested::new();
        for (digit, name, role) in
            [(1, "server 1", "server"), (OWNER, "an owner", "owner"), (OPERATOR, "an operator", "operator")]
        {
            let answer = json(tested.get(Some(digit), "/v1/whoami").await).await;
            assert_eq!((&answer["name"], &answer["role"]), (&name.into(), &role.into()));
            assert_eq!(answer["fingerprint"], key(digit).to_string());
        }
        let server = json(tested.get(Some(OWNER), "/v1/server").await).await;
        assert_eq!((&server["party"], &server["security"]), (&0.into(), &"semi-honest".into()));
        assert!(server["free_disk"].is_u64() && server["lanes"].is_u64());
    }

    #[tokio::test]
    async fn the_data_plane_is_tried_by_servers_alone() {
        let tested = Tested::new();
        for (digit, status) in
            [(OWNER, StatusCode::FORBIDDEN), (OPERATOR, StatusCode::FORBIDDEN), (2, StatusCode::OK)]
        {
            let answer = tested.call(Some(digit), Method::POST, "/v1/data-listen", Vec::new()).await;
            assert_eq!(answer.status(), status);
        }
    }

    #[tokio::test]
    async fn figures_are_for_operators_and_servers() {
        let tested = Tested::new();
        let answer = tested.get(Some(OWNER), "/metrics").await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        let problem = json(answer).await;
        assert_eq!(
            problem["error"],
            "an owner is known as owner, and this is for the role operator or server alone"
        );
        for digit in [1, OPERATOR] {
            let figures = text(tested.get(Some(digit), "/metrics").await).await;
            assert!(
                figures.contains(r#"shamisen_requests_total{route="/metrics",status="403"} 1"#),
                "{figures}"
            );
        }
    }

    #[tokio::test]
    async fn bandwidth_is_measured_within_limits() {
        let tested = Tested::new();
        assert_eq!(text(tested.get(Some(OWNER), "/v1/speed/1000").await).await.len(), 1000);
        for path in ["/v1/speed/4194305", "/v1/speed/x", "/v1/speed/-1"] {
            let answer = tested.get(Some(OWNER), path).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
            assert!(json(answer).await["error"].as_str().unwrap().contains("up to 4194304"));
        }
        let upload = |length: usize| tested.call(Some(OWNER), Method::POST, "/v1/speed", vec![1; length]);
        assert_eq!(json(upload(4_194_304).await).await["bytes"], 4_194_304);
        let answer = upload(4_194_305).await;
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert!(json(answer).await["hint"].as_str().unwrap().contains("request_bytes"));
    }

    #[tokio::test]
    async fn errors_of_the_router_have_a_sentence_and_a_number() {
        let tested = Tested::new();
        for (method, path, status, part) in [
            (Method::GET, "/nothing", StatusCode::NOT_FOUND, "nothing at this path"),
            (Method::DELETE, "/health", StatusCode::METHOD_NOT_ALLOWED, "another method"),
        ] {
            let answer = tested.call(Some(OWNER), method, path, Vec::new()).await;
            assert_eq!(answer.status(), status);
            assert!(answer.headers()["x-request-id"].to_str().unwrap().contains('-'));
            assert!(json(answer).await["error"].as_str().unwrap().contains(part));
        }
    }

    #[tokio::test]
    async fn every_request_is_described() {
        let tested = Tested::new();
        let description = json(tested.get(Some(OPERATOR), "/openapi.json").await).await;
        assert_eq!(description["openapi"].as_str().unwrap().split_at(3).0, "3.1");
        for (path, methods) in description["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let what = operation["summary"].as_str().or(operation["description"].as_str());
                assert!(what.is_some_and(|text| text.ends_with('.')), "{method} {path} has no sentence");
                let strangers = operation["security"] == serde_json::json!([{}]);
                assert_eq!(strangers, path == "/health", "{path}: {operation}");
                assert!(operation["responses"].get("200").is_some());
                assert_eq!(operation["responses"].get("401").is_none(), strangers);
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                // What is for servers is done, and what is for others or needs a body is refused as described.
                let answer = tested.call(Some(1), method, &path.replace("{bytes}", "7"), Vec::new()).await;
                let status = answer.status().as_str().to_owned();
                assert!(operation["responses"].get(&status).is_some(), "{path} answers {status}");
                let asks_for_more = operation.get("requestBody").is_some() || path.contains("{id}");
                assert!(status == "200" || asks_for_more || status == "403", "{path} answers {status}");
            }
        }
        let scheme = &description["components"]["securitySchemes"]["certificate"];
        assert_eq!(scheme["type"], "mutualTLS");
    }
}
