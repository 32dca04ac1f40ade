//! Tables in and out: CSV and IDX files, scaling, share files and model files.
