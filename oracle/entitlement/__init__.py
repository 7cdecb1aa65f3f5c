"""Pointwise entitlement: must, may or may never this page be in the file?"""
