"""Operations on a configuration, before anything is asked."""
