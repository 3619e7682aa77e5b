"""Answers to requests that were answered before: identical requests of one tenant, replayed through the SDK's parser.

keys          which requests are identical
eligibility   which requests and answers may be kept
entries       an answer as bytes
flights       identical calls of this process that are under way
exchange      what one call has to do with the cache
cache         looks up, waits, keeps
"""
