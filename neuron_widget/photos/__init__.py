"""A photo, whatever form it comes in: from files that nobody trusts, arrays, tensors."""
