"""What every service stands on. There is no word of commerce in it, so that it could carry any other system as well."""
