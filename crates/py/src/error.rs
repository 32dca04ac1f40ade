//! Errors of the crates as Python exceptions, with the same sentences.

use std::io::ErrorKind;

use pyo3::PyErr;
use pyo3::exceptions::{
    PyArithmeticError, PyConnectionError, PyFileNotFoundError, PyLookupError, PyOSError, PyPermissionError,
    PyRuntimeError, PyTimeoutError, PyValueError,
};
use shamisen_data::DataError;
use shamisen_local::Failure;
use shamisen_mpc::MpcError;
use shamisen_nn::NnError;
use shamisen_service::{Cause, ServiceError};

/// What is wrong with a training or a prediction.
pub(crate) fn of_learning(error: &NnError) -> PyErr {
    let text = error.to_string();
    match error {
        NnError::Plan(_) | NnError::PredictionRange(_) => PyValueError::new_err(text),
        NnError::Range { .. } => {
            // The hint names flags of the program.
            let sentence = text.split_once("\nhint: ").map_or(text.as_str(), |(sentence, _)| sentence);
            PyArithmeticError::new_err(format!(
                "{sentence}\nhint: lower learning_rate_init, or scale the features (scaling='standard')"
            ))
        }
        NnError::Protocol(MpcError::Network(_)) => PyConnectionError::new_err(text),
        _ => PyRuntimeError::new_err(text),
    }
}

/// What is wrong with a file.
pub(crate) fn of_data(error: &DataError) -> PyErr {
    let text = error.to_string();
    match error {
        DataError::NotFound { .. } | DataError::MissingShare { .. } => PyFileNotFoundError::new_err(text),
        DataError::Io { .. } | DataError::DiskFull { .. } => PyOSError::new_err(text),
        _ => PyValueError::new_err(text),
    }
}

/// What is wrong with a model directory.
pub(crate) fn of_running(failure: &Failure) -> PyErr {
    PyValueError::new_err(failure.to_string())
}

/// What is wrong with what three servers were asked for, or the exception that ended the wait for them.
pub(crate) fn of_service(error: ServiceError) -> PyErr {
    let text = error.to_string();
    match error {
        ServiceError::Stopped(stop) => {
            stop.downcast::<PyErr>().map_or_else(|_| PyRuntimeError::new_err(text), |raised| *raised)
        }
        ServiceError::Answers { cause, .. } => match cause {
            Cause::Unreachable => PyConnectionError::new_err(text),
            Cause::Silent => PyTimeoutError::new_err(text),
            Cause::Fault => PyRuntimeError::new_err(text),
            Cause::Refused => PyValueError::new_err(text),
            Cause::Unknown => PyLookupError::new_err(text),
            Cause::Forbidden => PyPermissionError::new_err(text),
        },
        ServiceError::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
            PyFileNotFoundError::new_err(text)
        }
        ServiceError::KeyIsOpen { .. } => PyPermissionError::new_err(text),
        ServiceError::Io { .. } | ServiceError::Randomness | ServiceError::Start { .. } => {
            PyOSError::new_err(text)
        }
        ServiceError::Data(error) => of_data(&error),
        _ => PyValueError::new_err(text),
    }
}
