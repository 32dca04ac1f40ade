//! The page of a server, on which people see jobs, data sets, the servers and the audit log: how it is delivered.
//!
//! It is a program for the browser, in the directory `page` of this crate, that asks the server for what the caller's role
//! may see. It is the same at a server, for browsers that have a key of a person, and at a [`viewer`], which has the key itself.

pub mod viewer;

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::Response;
use axum::routing::get;

/// What the browser lets the page do: run its own modules, and ask whom it came from.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// What all answers to browsers have: nothing is kept, framed, guessed or told to others.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A file of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    content: &'static str,
}

macro_rules! asset {
    ($kind:literal, $name:literal) => {
        Asset {
            path: concat!("/page/", $name),
            kind: $kind,
            content: include_str!(concat!("../../page/", $name)),
        }
    };
}

/// All files of the page.
const ASSETS: [Asset; 13] = [
    Asset { path: "/", kind: "text/html; charset=utf-8", content: include_str!("../../page/index.html") },
    asset!("text/css; charset=utf-8", "page.css"),
    asset!("image/svg+xml", "icon.svg"),
    asset!("text/javascript; charset=utf-8", "main.js"),
    asset!("text/javascript; charset=utf-8", "server.js"),
    asset!("text/javascript; charset=utf-8", "dom.js"),
    asset!("text/javascript; charset=utf-8", "words.js"),
    asset!("text/javascript; charset=utf-8", "parts.js"),
    asset!("text/javascript; charset=utf-8", "curve.js"),
    asset!("text/javascript; charset=utf-8", "jobs.js"),
    asset!("text/javascript; charset=utf-8", "datasets.js"),
    asset!("text/javascript; charset=utf-8", "servers.js"),
    asset!("text/javascript; charset=utf-8", "audit.js"),
];

/// The routes of the files, at a server. They are no part of its interface, and not in its description.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let routes = Router::new();
    ASSETS.iter().fold(routes, |routes, asset| routes.route(asset.path, get(async || answer(asset))))
}

/// The file at a path.
fn at(path: &str) -> Option<Response> {
    ASSETS.iter().find(|asset| asset.path == path).map(answer)
}

fn answer(asset: &Asset) -> Response {
    let mut answer = Response::new(Body::from(asset.content));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    protect(answer.headers_mut());
    answer
}

/// Tells a browser what it must not do with an answer.
fn protect(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Whether a browser asks because of a page of somebody else.
pub(crate) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    site.is_some_and(|site| site != b"same-origin" && site != b"none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_nothing_elsewhere_and_run_nothing_inline() {
        for asset in &ASSETS {
            let text = asset.content.replace("http://www.w3.org/2000/svg", "");
            for part in ["http:", "https:", "//cdn", " style=", " onclick", "innerHTML", "eval("] {
                assert!(!text.contains(part), "{part} in {}", asset.path);
            }
        }
    }

    #[test]
    fn what_a_file_imports_is_there() {
        for asset in &ASSETS {
            let imports = asset.content.lines().filter_map(|line| line.split_once(" from \"./"));
            for (_, rest) in imports {
                let name = rest.split('"').next().unwrap_or_default();
                assert!(at(&format!("/page/{name}")).is_some(), "{} imports {name}", asset.path);
            }
        }
        let page = ASSETS[0].content;
        for reference in page.split("\"/page/").skip(1) {
            let name = reference.split('"').next().unwrap_or_default();
            assert!(at(&format!("/page/{name}")).is_some(), "the page names {name}");
        }
    }
}
