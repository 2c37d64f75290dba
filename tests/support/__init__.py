"""What several test files share; no tests of its own."""
