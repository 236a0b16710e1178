"""Every parameter of both nodes in tables, how a node declares and checks them, and their page in
the documents. No other module declares a parameter.
"""
