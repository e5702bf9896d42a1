"""Training: the paper's protocol on anyone's data. Nothing at run time imports it."""
