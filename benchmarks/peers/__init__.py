"""The same training in each library, in the fastest form that its documentation recommends."""
